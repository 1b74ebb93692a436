{{ staged_canonical('markets') }}
