{{ config(materialized='table') }}

with consumers as (

    select * from {{ ref('int_consumers_assigned_to_home_markets') }}

),

periods as (

    select * from {{ ref('int_periods_spined') }}

),

purchases as (

    select * from {{ ref('int_transactions_aggregated_to_periods') }}

),

exposures as (

    select * from {{ ref('int_exposures_aggregated_to_periods') }}

),

activities as (

    select
        consumer_id,
        period_start_date,
        bool_or(is_sign_of_life) as is_sign_of_life
    from (
        select
            consumer_id,
            period_start_date,
            true as is_sign_of_life
        from purchases
        union all
        select
            consumer_id,
            period_start_date,
            is_landed as is_sign_of_life
        from exposures
    ) as signs
    group by consumer_id, period_start_date

),

latest_activities as (

    select
        consumer_id,
        max(period_start_date) as period_start_date
    from activities
    where is_sign_of_life
    group by consumer_id

),

-- from the period of first_seen_date to the last period of the data, and whatever happened before
consumer_periods as (

    select
        consumers.consumer_id,
        periods.period_start_date
    from consumers
    inner join periods on consumers.first_seen_date <= periods.period_last_date
    union all
    select
        activities.consumer_id,
        activities.period_start_date
    from activities
    inner join consumers on activities.consumer_id = consumers.consumer_id
    inner join periods
        on
            activities.period_start_date = periods.period_start_date
            and consumers.first_seen_date > periods.period_last_date

),

judged as (

    select
        consumer_periods.consumer_id,
        consumers.market_id,
        consumer_periods.period_start_date,
        periods.period_index,
        periods.is_pre_period,
        case
            when consumers.first_seen_date > periods.period_last_date then 'before_first_seen'
            when consumers.first_seen_date > periods.period_start_date then 'partial_first_period'
            when periods.is_pre_period then 'pre_period'
            when not periods.is_complete then 'incomplete_period'
            when periods.period_last_date > consumers.active_until then 'after_active_until'
            when
                consumers.active_until is null
                and periods.period_start_date
                >= coalesce(latest_activities.period_start_date, periods.period_start_date)
                then 'no_later_activity'
        end as exclusion_reason
    from consumer_periods
    inner join consumers on consumer_periods.consumer_id = consumers.consumer_id
    inner join periods on consumer_periods.period_start_date = periods.period_start_date
    left join latest_activities on consumer_periods.consumer_id = latest_activities.consumer_id

),

final as (

    select
        judged.consumer_id,
        judged.market_id,
        judged.period_start_date,
        judged.period_index,
        coalesce(purchases.gmv_net_amount, 0)::decimal(18, 4) as gmv_net_amount,
        coalesce(purchases.gmv_gross_amount, 0)::decimal(18, 4) as gmv_gross_amount,
        coalesce(purchases.transactions_count, 0)::bigint as transactions_count,
        purchases.units_count,
        judged.is_pre_period,
        judged.exclusion_reason is null as is_in_panel,
        judged.exclusion_reason
    from judged
    left join purchases
        on
            judged.consumer_id = purchases.consumer_id
            and judged.period_start_date = purchases.period_start_date

)

select * from final
