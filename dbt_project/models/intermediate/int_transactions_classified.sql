{% set rules = {
    'negative_amount': "(gmv_amount < 0 or discount_amount < 0) and not coalesce(is_return, false)",
    'sign_conflict': "is_return and gmv_amount > 0",
    'invalid_count': "units_count < 0 and not coalesce(is_return, false)",
    'unknown_consumer': is_unknown_consumer('consumer_id'),
    'unknown_market': is_unknown('market_id', 'markets', ['markets', 'market_tables'], ref('int_markets_known')),
    'out_of_range_date': "occurred_at < timestamp '2000-01-01'",
    'future_date': "occurred_at > landed_at",
    'wrong_currency': is_wrong_currency('currency_code'),
} %}
{{ classified_rows(
    'transactions',
    ref('stg_transactions'),
    rules,
    derived_columns=[[local_date('occurred_at'), 'occurred_date'], [period_start('occurred_date'), 'period_start_date']]
) }}
