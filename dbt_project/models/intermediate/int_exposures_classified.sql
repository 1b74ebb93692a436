{% set rules = {
    'invalid_count': "exposures_count < 1",
    'unknown_consumer': is_unknown_consumer('consumer_id'),
    'unknown_channel': is_unknown('channel_id', 'channels', ['channels', 'market_tables'], ref('int_channels_known')),
    'out_of_range_date': "occurred_at < timestamp '2000-01-01'",
    'future_date': "occurred_at > landed_at",
} %}
{{ classified_rows(
    'exposures',
    ref('stg_exposures'),
    rules,
    derived_columns=[[local_date('occurred_at'), 'occurred_date'], [period_start('occurred_date'), 'period_start_date']]
) }}
