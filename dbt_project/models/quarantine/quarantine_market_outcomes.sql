{{ quarantined_rows(ref('int_market_outcomes_classified')) }}
