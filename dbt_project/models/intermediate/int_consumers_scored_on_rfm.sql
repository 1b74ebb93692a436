{{ config(materialized='table') }}

with parameters as (

    select * from {{ ref('int_run_parameters') }}

),

periods as (

    select * from {{ ref('int_periods_spined') }}

),

consumers as (

    select * from {{ ref('int_consumers_assigned_to_home_markets') }}

),

transactions as (

    select * from {{ ref('int_transactions_accepted') }}

),

pre_periods as (

    select
        count(*)::integer as periods_count,
        max(period_index) as last_period_index
    from periods
    where is_pre_period

),

-- frequency counts purchase moments: the lines of one basket share theirs
pre_period_purchases as (

    select
        transactions.consumer_id,
        max(periods.period_index) filter (where not coalesce(transactions.is_return, false)) as last_period_index,
        count(distinct transactions.occurred_at) filter (
            where not coalesce(transactions.is_return, false)
        )::bigint as purchases_count,
        sum(transactions.gmv_amount)::decimal(18, 4) as gmv_net_amount
    from transactions
    inner join parameters on transactions.occurred_date <= parameters.as_of_date
    inner join periods
        on
            transactions.period_start_date = periods.period_start_date
            and periods.is_pre_period
    group by transactions.consumer_id

),

scored as (

    select
        consumers.consumer_id,
        least(consumers.first_seen_date, consumers.first_activity_period_start_date)
        < parameters.pre_period_end_date as is_seen_in_pre_period,
        coalesce(
            pre_periods.last_period_index - pre_period_purchases.last_period_index, pre_periods.periods_count
        )::integer as recency_periods,
        coalesce(pre_period_purchases.purchases_count, 0)::bigint as frequency_count,
        coalesce(pre_period_purchases.gmv_net_amount, 0)::decimal(18, 4) as monetary_amount
    from consumers
    cross join parameters
    cross join pre_periods
    left join pre_period_purchases on consumers.consumer_id = pre_period_purchases.consumer_id

),

-- ties in spend are split by consumer_id, so that the thirds are the same in every run
spenders as (

    select
        consumer_id,
        ntile(3) over (order by monetary_amount, consumer_id) as spend_third
    from scored
    where is_seen_in_pre_period and monetary_amount > 0

),

final as (

    select
        scored.consumer_id,
        scored.is_seen_in_pre_period,
        case when scored.is_seen_in_pre_period then scored.recency_periods end as rfm_recency_periods,
        case when scored.is_seen_in_pre_period then scored.frequency_count end as rfm_frequency_count,
        case when scored.is_seen_in_pre_period then scored.monetary_amount end as rfm_monetary_amount,
        case spenders.spend_third
            when 1 then 'low'
            when 2 then 'middle'
            when 3 then 'high'
            else 'none'
        end as spend_stratum
    from scored
    left join spenders on scored.consumer_id = spenders.consumer_id

)

select * from final
