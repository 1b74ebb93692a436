{{ staged_canonical('marketing_activities') }}
