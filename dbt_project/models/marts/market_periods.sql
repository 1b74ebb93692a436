{{ config(post_hook="{{ export_mart(['market_id', 'period_start_date']) }}") }}

with parameters as (

    select * from {{ ref('int_run_parameters') }}

),

outcomes as (

    select
        outcomes.market_id,
        outcomes.period_start_date,
        outcomes.gmv_amount
    from {{ ref('int_market_outcomes_accepted') }} as outcomes
    inner join parameters
        on {{ period_last_date('outcomes.period_start_date', 'parameters.period') }} <= parameters.as_of_date

),

periods as (

    select * from {{ ref('int_periods_spined') }}

),

consumer_periods as (

    select * from {{ ref('int_consumer_periods_spined') }}

),

aggregated as (

    select
        consumer_periods.market_id,
        consumer_periods.period_start_date,
        sum(consumer_periods.gmv_net_amount)::decimal(18, 4) as gmv_net_amount,
        sum(consumer_periods.gmv_gross_amount)::decimal(18, 4) as gmv_gross_amount,
        count(*) filter (
            where consumer_periods.exclusion_reason is null
            or consumer_periods.exclusion_reason in ('pre_period', 'partial_first_period')
        )::bigint as consumers_count
    from consumer_periods
    inner join periods
        on
            consumer_periods.period_start_date = periods.period_start_date
            and periods.is_complete
    group by consumer_periods.market_id, consumer_periods.period_start_date

),

-- a market with outcomes of its own takes its whole series from them: two sources in one series make a jump
final as (

    select
        outcomes.market_id,
        outcomes.period_start_date,
        outcomes.gmv_amount::decimal(18, 4) as gmv_net_amount,
        null::decimal(18, 4) as gmv_gross_amount,
        aggregated.consumers_count,
        'market_outcomes' as source_kind
    from outcomes
    left join aggregated
        on
            outcomes.market_id = aggregated.market_id
            and outcomes.period_start_date = aggregated.period_start_date
    union all
    select
        aggregated.market_id,
        aggregated.period_start_date,
        aggregated.gmv_net_amount,
        aggregated.gmv_gross_amount,
        aggregated.consumers_count,
        'transactions' as source_kind
    from aggregated
    anti join outcomes on aggregated.market_id = outcomes.market_id

)

select * from final
order by market_id, period_start_date
