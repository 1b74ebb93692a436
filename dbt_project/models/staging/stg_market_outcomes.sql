{{ staged_source_union('market_outcomes') }}
