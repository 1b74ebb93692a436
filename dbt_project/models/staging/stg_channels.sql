{{ staged_source_union('channels', ref('stg_complete_journey__channels')) }}
