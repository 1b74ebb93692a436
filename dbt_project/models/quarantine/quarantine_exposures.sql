{{ quarantined_rows(ref('int_exposures_classified')) }}
