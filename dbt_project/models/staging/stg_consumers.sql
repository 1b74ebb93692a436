{{ staged_source_union('consumers') }}
