{{ config(materialized='view') }}

{{ accepted_open_columns(
    ref('int_market_covariates_classified'), ['market_id', 'period_start_date'], 'covariate_name', 'covariate_value'
) }}
