{{ staged_source_union('mediators') }}
