{{ staged_source_union('marketing_activities') }}
