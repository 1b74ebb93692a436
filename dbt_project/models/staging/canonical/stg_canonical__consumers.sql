{{ staged_canonical('consumers') }}
