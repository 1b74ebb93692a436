{% set rules = {
    'invalid_count': "population < 0",
} %}
{{ classified_rows(
    'markets',
    ref('stg_markets'),
    rules
) }}
