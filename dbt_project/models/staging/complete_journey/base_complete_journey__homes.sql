{{ config(materialized='table') }}

-- One row per household with purchases in the pre-period: its home store (most baskets; ties go to the lower id) and
-- its market. Home stores of fewer than 10 households are pooled into `_small_stores`.
with pre_period_lines as (

    select
        household_id,
        store_id,
        basket_id
    from {{ ref('base_complete_journey__purchase_lines') }}
    where
        scope_reason_code is null
        and occurred_date < {{ complete_journey_pre_period_end() }}

),

baskets as (

    select
        household_id,
        store_id,
        count(distinct basket_id) as baskets_count
    from pre_period_lines
    group by household_id, store_id

),

homes as (

    select
        household_id,
        arg_max(store_id, (baskets_count, -store_id)) as home_store_id
    from baskets
    group by household_id

),

final as (

    select
        household_id,
        home_store_id,
        case
            when count(*) over (partition by home_store_id) >= 10 then cast(home_store_id as varchar)
            else '_small_stores'
        end as market_id
    from homes

)

select * from final
