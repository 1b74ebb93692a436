{{ config(materialized='view') }}

select
    market_id,
    gmv_amount,
    extra_columns as kpis,
    period_start_date,
    load_id,
    file_name,
    row_number
from {{ ref('int_market_outcomes_classified') }}
where reason_code is null
