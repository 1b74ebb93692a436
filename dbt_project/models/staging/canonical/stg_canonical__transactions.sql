{{ staged_canonical('transactions') }}
