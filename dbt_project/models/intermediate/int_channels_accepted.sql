{{ config(materialized='view') }}

select
    channel_id,
    name,
    kind,
    cost_per_exposure,
    load_id,
    file_name,
    row_number
from {{ ref('int_channels_classified') }}
where reason_code is null
