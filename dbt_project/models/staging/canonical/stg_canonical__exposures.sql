{{ staged_canonical('exposures') }}
