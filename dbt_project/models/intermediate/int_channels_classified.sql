{% set rules = {
    'negative_amount': "cost_per_exposure < 0",
} %}
{{ classified_rows(
    'channels',
    ref('stg_channels'),
    rules
) }}
