{{ staged_source_union('mediators', ref('stg_complete_journey__mediators')) }}
