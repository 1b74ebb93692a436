{{ quarantined_rows(ref('int_markets_classified')) }}
