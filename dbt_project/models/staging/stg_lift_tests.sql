{{ staged_source_union('lift_tests') }}
