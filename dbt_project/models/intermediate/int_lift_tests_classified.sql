{% set rules = {
    'missing_value': "raw_spend_delta_amount is null and raw_exposures_delta_count is null",
    'negative_amount': "lift_standard_error < 0",
    'unknown_market': is_any_unknown('market_ids', 'markets', ref('int_markets_known'), 'market_id'),
    'unknown_channel': is_any_unknown('channel_ids', 'channels', ref('int_channels_known'), 'channel_id'),
    'out_of_range_date': "start_date < date '2000-01-01' or end_date < start_date",
    'future_date': 'end_date > ' ~ local_date('landed_at'),
} %}
{{ classified_rows(
    'lift_tests',
    ref('stg_lift_tests'),
    rules
) }}
