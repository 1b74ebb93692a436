{{ staged_source_union('exposures', ref('stg_complete_journey__exposures')) }}
