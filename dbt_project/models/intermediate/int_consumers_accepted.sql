{{ config(materialized='view') }}

select
    consumer_id,
    market_id,
    extra_columns as characteristics,
    active_until,
    first_seen_date,
    first_seen_at,
    load_id,
    file_name,
    row_number
from {{ ref('int_consumers_classified') }}
where reason_code is null
