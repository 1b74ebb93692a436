{% set rules = {
    'missing_value': "raw_spend_amount is not null and raw_currency_code is null",
    'negative_amount': "spend_amount < 0 or intensity < 0 or frequency < 0",
    'invalid_count': "reach_count < 0",
    'unknown_market': is_unknown('market_id', 'markets', ['markets'], ref('int_markets_accepted')),
    'unknown_channel': is_unknown('channel_id', 'channels', ['channels'], ref('int_channels_accepted')),
    'out_of_range_date': "period_start_date < date '2000-01-01'",
    'future_date': 'period_start_date > ' ~ local_date('landed_at'),
    'misaligned_period': 'period_start_date <> ' ~ period_start('period_start_date'),
    'wrong_currency': 'raw_spend_amount is not null and ' ~ is_wrong_currency('currency_code'),
} %}
{{ classified_rows(
    'marketing_activities',
    ref('stg_marketing_activities'),
    rules
) }}
