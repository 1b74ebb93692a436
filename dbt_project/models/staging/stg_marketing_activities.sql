{{ staged_source_union('marketing_activities', ref('stg_complete_journey__marketing_activities')) }}
