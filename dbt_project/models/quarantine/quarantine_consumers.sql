{{ quarantined_rows(ref('int_consumers_classified')) }}
