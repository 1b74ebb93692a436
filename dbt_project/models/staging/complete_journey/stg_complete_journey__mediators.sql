-- Baskets of the home market's households per period, wherever they bought: what promotions can fill before GMV.
-- A period without one is 0.
with lines as (

    select * from {{ ref('base_complete_journey__purchase_lines') }}
    where scope_reason_code is null

),

homes as (

    select * from {{ ref('base_complete_journey__homes') }}

),

periods as (

    select distinct {{ period_start('cast(days.day as date)') }} as period_start_date
    from generate_series(
        cast({{ complete_journey_first_date() }} as timestamp),
        cast({{ complete_journey_last_date() }} as timestamp),
        interval 1 day
    ) as days (day)

),

markets as (

    select distinct market_id from homes
    union all
    select '_unassigned' as market_id where {{ source_is_active('complete_journey') }}

),

baskets as (

    select
        coalesce(homes.market_id, '_unassigned') as market_id,
        {{ period_start('lines.occurred_date') }} as period_start_date,
        count(distinct lines.basket_id) as baskets_count
    from lines
    left join homes on lines.household_id = homes.household_id
    group by coalesce(homes.market_id, '_unassigned'), {{ period_start('lines.occurred_date') }}

)

select
    markets.market_id,
    cast(periods.period_start_date as varchar) as period_start_date,
    map {
        'baskets': cast(coalesce(baskets.baskets_count, 0) as varchar)
    } as extra_columns,
    cast(null as varchar) as scope_reason_code,
    cast(null as varchar) as load_id,
    cast(null as bigint) as load_sequence,
    cast(null as varchar) as file_name,
    cast(null as bigint) as row_number,
    cast(null as timestamp) as landed_at,
    cast(null as varchar) as landed_table_name
from markets
cross join periods
left join baskets
    on
        markets.market_id = baskets.market_id
        and periods.period_start_date = baskets.period_start_date
