{{ quarantined_rows(ref('int_lift_tests_classified')) }}
