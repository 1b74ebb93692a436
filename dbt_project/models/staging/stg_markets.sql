{{ staged_source_union('markets', ref('stg_complete_journey__markets')) }}
