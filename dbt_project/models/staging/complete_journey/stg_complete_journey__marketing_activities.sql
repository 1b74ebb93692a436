{{ config(materialized='table') }}

-- Store promotions per market and period: advertised products per home store (a mean over the pool of small stores)
-- and week, summed over the weeks that begin in the period. Nothing here has a known spend.
with promotions as (

    select * from {{ ref('base_complete_journey__promotions') }}

),

home_stores as (

    select distinct
        home_store_id,
        market_id
    from {{ ref('base_complete_journey__homes') }}

),

markets as (

    select
        home_store_id,
        market_id,
        count(*) over (partition by market_id) as stores_count
    from home_stores

),

advertised as (

    select
        markets.market_id,
        {{ period_start('promotions.week_start_date') }} as period_start_date,
        count(*) filter (where promotions.is_in_mailer) / any_value(markets.stores_count) as mailer_intensity,
        count(*) filter (where promotions.is_on_display) / any_value(markets.stores_count) as display_intensity
    from promotions
    inner join markets on promotions.store_id = markets.home_store_id
    group by markets.market_id, {{ period_start('promotions.week_start_date') }}

),

activities as (

    select
        market_id,
        'store_mailer' as channel_id,
        period_start_date,
        mailer_intensity as intensity
    from advertised
    union all
    select
        market_id,
        'store_display' as channel_id,
        period_start_date,
        display_intensity as intensity
    from advertised

)

select
    market_id,
    channel_id,
    cast(period_start_date as varchar) as period_start_date,
    cast(null as varchar) as spend_amount,
    cast(intensity as varchar) as intensity,
    cast(null as varchar) as currency_code,
    cast(null as varchar) as reach_count,
    cast(null as varchar) as frequency,
    {{ empty_map() }} as extra_columns,
    cast(null as varchar) as scope_reason_code,
    cast(null as varchar) as load_id,
    cast(null as bigint) as load_sequence,
    cast(null as varchar) as file_name,
    cast(null as bigint) as row_number,
    cast(null as timestamp) as landed_at,
    cast(null as varchar) as landed_table_name
from activities
