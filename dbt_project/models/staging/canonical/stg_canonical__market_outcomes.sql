{{ staged_canonical('market_outcomes') }}
