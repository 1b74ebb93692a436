{{ staged_canonical('market_covariates') }}
