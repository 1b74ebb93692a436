{% set rules = {
    'unknown_market': is_unknown('market_id', 'markets', ['markets', 'market_tables'], ref('int_markets_known')),
    'out_of_range_date': "period_start_date < date '2000-01-01'",
    'future_date': 'period_start_date > ' ~ local_date('landed_at'),
    'misaligned_period': 'period_start_date <> ' ~ period_start('period_start_date'),
} %}
{{ classified_rows(
    'mediators',
    ref('stg_mediators'),
    rules,
    open_columns_are_numeric=true
) }}
