{{ staged_canonical('mediators') }}
