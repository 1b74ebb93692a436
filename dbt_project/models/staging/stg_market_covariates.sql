{{ staged_source_union('market_covariates', ref('stg_complete_journey__market_covariates')) }}
