{{ config(post_hook="{{ export_mart(['consumer_id', 'period_start_date']) }}") }}

with consumer_periods as (

    select * from {{ ref('int_consumer_periods_spined') }}

),

final as (

    select
        consumer_id,
        market_id,
        period_start_date,
        period_index,
        gmv_net_amount,
        gmv_gross_amount,
        transactions_count,
        units_count,
        is_pre_period,
        is_in_panel,
        exclusion_reason
    from consumer_periods

)

select * from final
order by consumer_id, period_start_date
