{{ staged_canonical('channels') }}
