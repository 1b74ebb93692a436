{{ staged_source_union('transactions') }}
