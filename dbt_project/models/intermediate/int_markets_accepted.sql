{{ config(materialized='view') }}

select
    market_id,
    name,
    population,
    load_id,
    file_name,
    row_number
from {{ ref('int_markets_classified') }}
where reason_code is null
