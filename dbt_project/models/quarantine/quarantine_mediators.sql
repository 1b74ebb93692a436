{{ quarantined_rows(ref('int_mediators_classified')) }}
