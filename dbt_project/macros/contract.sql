{#
  The input contract as dbt sees it: per table its key, and [column, kind, is_nullable] in landed order.
  assets/landing/contract.py is the single truth; tests/warehouse/test_contract_parity.py holds this copy to it.
#}
{% macro contract_table(table_name) %}
    {% set tables = {
        'transactions': {
            'key': ['transaction_id'],
            'is_open': false,
            'columns': [
                ['transaction_id', 'string', false],
                ['consumer_id', 'string', false],
                ['market_id', 'string', false],
                ['occurred_at', 'timestamp', false],
                ['gmv_amount', 'money', false],
                ['currency_code', 'string', false],
                ['is_return', 'boolean', true],
                ['units_count', 'count', true],
                ['discount_amount', 'money', true],
            ],
        },
        'exposures': {
            'key': ['consumer_id', 'channel_id', 'occurred_at', 'campaign_id', 'exposure_id'],
            'is_open': false,
            'columns': [
                ['consumer_id', 'string', false],
                ['channel_id', 'string', false],
                ['occurred_at', 'timestamp', false],
                ['exposures_count', 'count', false],
                ['campaign_id', 'string', true],
                ['exposure_id', 'string', true],
            ],
        },
        'consumers': {
            'key': ['consumer_id'],
            'is_open': true,
            'columns': [
                ['consumer_id', 'string', false],
                ['market_id', 'string', true],
                ['first_seen_at', 'timestamp', false],
                ['active_until', 'date', true],
            ],
        },
        'market_covariates': {
            'key': ['market_id', 'period_start_date'],
            'is_open': true,
            'columns': [
                ['market_id', 'string', false],
                ['period_start_date', 'date', false],
            ],
        },
        'marketing_activities': {
            'key': ['market_id', 'channel_id', 'period_start_date'],
            'is_open': false,
            'columns': [
                ['market_id', 'string', false],
                ['channel_id', 'string', false],
                ['period_start_date', 'date', false],
                ['spend_amount', 'money', true],
                ['intensity', 'number', false],
                ['currency_code', 'string', true],
                ['reach_count', 'count', true],
                ['frequency', 'number', true],
            ],
        },
        'market_outcomes': {
            'key': ['market_id', 'period_start_date'],
            'is_open': true,
            'columns': [
                ['market_id', 'string', false],
                ['period_start_date', 'date', false],
                ['gmv_amount', 'money', false],
            ],
        },
        'mediators': {
            'key': ['market_id', 'period_start_date'],
            'is_open': true,
            'columns': [
                ['market_id', 'string', false],
                ['period_start_date', 'date', false],
            ],
        },
        'lift_tests': {
            'key': ['lift_test_id'],
            'is_open': false,
            'columns': [
                ['lift_test_id', 'string', false],
                ['channel_ids', 'json', false],
                ['market_ids', 'json', false],
                ['start_date', 'date', false],
                ['end_date', 'date', false],
                ['spend_delta_amount', 'money', true],
                ['exposures_delta_count', 'count', true],
                ['lift_amount', 'money', false],
                ['lift_standard_error', 'money', false],
                ['kpi', 'string', false],
            ],
        },
        'markets': {
            'key': ['market_id'],
            'is_open': false,
            'columns': [
                ['market_id', 'string', false],
                ['name', 'string', true],
                ['population', 'count', true],
            ],
        },
        'channels': {
            'key': ['channel_id'],
            'is_open': false,
            'columns': [
                ['channel_id', 'string', false],
                ['name', 'string', true],
                ['kind', 'string', true],
                ['cost_per_exposure', 'money', true],
            ],
        },
    } %}
    {{ return(tables[table_name]) }}
{% endmacro %}

{# Tables of the contract, references before what refers to them. #}
{% macro contract_table_names() %}
    {{ return([
        'markets', 'channels', 'market_covariates', 'marketing_activities', 'market_outcomes', 'mediators', 'lift_tests',
        'consumers', 'transactions', 'exposures',
    ]) }}
{% endmacro %}
