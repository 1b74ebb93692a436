{{ config(materialized='table') }}

with parameters as (

    select * from {{ ref('int_run_parameters') }}

),

consumers as (

    select * from {{ ref('int_consumers_accepted') }}

),

transactions as (

    select * from {{ ref('int_transactions_accepted') }}

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
        min(period_start_date) as first_activity_period_start_date
    from (
        select
            consumer_id,
            period_start_date
        from purchases
        union all
        select
            consumer_id,
            period_start_date
        from exposures
    ) as consumer_activities
    group by consumer_id

),

market_purchases as (

    select
        transactions.consumer_id,
        transactions.market_id,
        row_number() over (
            partition by transactions.consumer_id
            order by count(*) desc, sum(transactions.gmv_amount) desc, transactions.market_id asc
        ) as market_rank
    from transactions
    inner join parameters
        on
            transactions.occurred_date <= parameters.as_of_date
            and transactions.period_start_date < parameters.pre_period_end_date
    where transactions.market_id is not null
    group by transactions.consumer_id, transactions.market_id

),

pre_period_markets as (

    select
        consumer_id,
        market_id
    from market_purchases
    where market_rank = 1

),

final as (

    select
        coalesce(consumers.consumer_id, activities.consumer_id) as consumer_id,
        coalesce(consumers.market_id, pre_period_markets.market_id, '_unassigned') as market_id,
        case
            when consumers.market_id is not null then 'declared'
            when pre_period_markets.market_id is not null then 'pre_period_transactions'
            else 'none'
        end as market_rule,
        coalesce(consumers.first_seen_date, activities.first_activity_period_start_date) as first_seen_date,
        activities.first_activity_period_start_date,
        consumers.active_until
    from consumers
    full outer join activities on consumers.consumer_id = activities.consumer_id
    left join pre_period_markets
        on coalesce(consumers.consumer_id, activities.consumer_id) = pre_period_markets.consumer_id
    cross join parameters
    where
        activities.consumer_id is not null
        or consumers.first_seen_date <= parameters.as_of_date

)

select * from final
