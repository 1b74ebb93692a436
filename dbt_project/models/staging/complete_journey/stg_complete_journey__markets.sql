-- Every store is a valid market, and so are the pool of small home stores and consumers without a home store.
with stores as (

    select distinct cast(store_id as varchar) as market_id
    from {{ ref('base_complete_journey__purchase_lines') }}

),

markets as (

    select
        market_id,
        cast(null as varchar) as name
    from stores
    union all
    select
        pools.market_id,
        pools.name
    from (
        values
        ('_small_stores', 'Home stores of fewer than 10 households'),
        ('_unassigned', 'Households without a home store')
    ) as pools (market_id, name)
    where {{ source_is_active('complete_journey') }}

)

select
    market_id,
    name,
    cast(null as varchar) as population,
    {{ empty_map() }} as extra_columns,
    cast(null as varchar) as scope_reason_code,
    cast(null as varchar) as load_id,
    cast(null as bigint) as load_sequence,
    cast(null as varchar) as file_name,
    cast(null as bigint) as row_number,
    cast(null as timestamp) as landed_at,
    cast(null as varchar) as landed_table_name
from markets
