{{ config(materialized='view') }}

select
    lift_test_id,
    channel_ids,
    market_ids,
    kpi,
    spend_delta_amount,
    exposures_delta_count,
    lift_amount,
    lift_standard_error,
    start_date,
    end_date,
    load_id,
    file_name,
    row_number
from {{ ref('int_lift_tests_classified') }}
where reason_code is null
