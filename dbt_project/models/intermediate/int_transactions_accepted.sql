{{ config(materialized='view') }}

select
    transaction_id,
    consumer_id,
    market_id,
    currency_code,
    gmv_amount,
    units_count,
    discount_amount,
    coalesce(is_return, false) as is_return,
    occurred_date,
    period_start_date,
    occurred_at,
    load_id,
    file_name,
    row_number
from {{ ref('int_transactions_classified') }}
where reason_code is null
