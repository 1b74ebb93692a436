{{ quarantined_rows(ref('int_market_covariates_classified')) }}
