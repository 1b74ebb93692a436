{{ config(materialized='view') }}

select
    consumer_id,
    channel_id,
    campaign_id,
    exposures_count,
    occurred_date,
    period_start_date,
    occurred_at,
    load_id,
    file_name,
    row_number
from {{ ref('int_exposures_classified') }}
where reason_code is null
