{{ staged_source_union('channels') }}
