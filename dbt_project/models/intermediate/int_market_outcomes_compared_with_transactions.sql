with outcomes as (

    select * from {{ ref('int_market_outcomes_accepted') }}

),

consumer_periods as (

    select * from {{ ref('int_consumer_periods_spined') }}

),

periods as (

    select * from {{ ref('int_periods_spined') }}

),

-- an incomplete period would differ by its missing days
market_purchases as (

    select
        consumer_periods.market_id,
        consumer_periods.period_start_date,
        sum(consumer_periods.gmv_net_amount)::decimal(18, 4) as gmv_net_amount
    from consumer_periods
    inner join periods
        on
            consumer_periods.period_start_date = periods.period_start_date
            and periods.is_complete
    group by consumer_periods.market_id, consumer_periods.period_start_date

),

final as (

    select
        outcomes.market_id,
        outcomes.period_start_date,
        outcomes.gmv_amount::decimal(18, 4) as outcome_gmv_amount,
        market_purchases.gmv_net_amount as transactions_gmv_amount,
        (outcomes.gmv_amount - market_purchases.gmv_net_amount)::decimal(18, 4) as difference_amount,
        abs(outcomes.gmv_amount::double - market_purchases.gmv_net_amount::double)
        / nullif(abs(outcomes.gmv_amount::double), 0) as difference_share
    from outcomes
    inner join market_purchases
        on
            outcomes.market_id = market_purchases.market_id
            and outcomes.period_start_date = market_purchases.period_start_date

)

select * from final
