{{ config(materialized='view') }}

select
    market_id,
    channel_id,
    currency_code,
    spend_amount,
    intensity,
    reach_count,
    frequency,
    period_start_date,
    load_id,
    file_name,
    row_number
from {{ ref('int_marketing_activities_classified') }}
where reason_code is null
