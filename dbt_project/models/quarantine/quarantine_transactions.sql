{{ quarantined_rows(ref('int_transactions_classified')) }}
