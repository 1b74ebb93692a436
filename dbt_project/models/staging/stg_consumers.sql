{{ staged_source_union('consumers', ref('stg_complete_journey__consumers')) }}
