{% set rules = {
    'unknown_market': is_unknown('market_id', 'markets', ['markets', 'market_tables'], ref('int_markets_known')),
    'out_of_range_date': "first_seen_at < timestamp '2000-01-01' or active_until < date '2000-01-01'",
    'future_date': "first_seen_at > landed_at",
} %}
{{ classified_rows(
    'consumers',
    ref('stg_consumers'),
    rules,
    derived_columns=[[local_date('first_seen_at'), 'first_seen_date']]
) }}
