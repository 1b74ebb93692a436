{{ staged_canonical('lift_tests') }}
