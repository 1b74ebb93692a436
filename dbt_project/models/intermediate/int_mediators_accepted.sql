{{ config(materialized='view') }}

{{ accepted_open_columns(
    ref('int_mediators_classified'), ['market_id', 'period_start_date'], 'mediator_name', 'mediator_value'
) }}
