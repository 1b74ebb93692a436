{{ staged_source_union('markets') }}
