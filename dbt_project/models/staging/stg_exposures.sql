{{ staged_source_union('exposures') }}
