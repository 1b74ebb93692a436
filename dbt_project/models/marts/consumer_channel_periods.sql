{{ config(post_hook="{{ export_mart(['consumer_id', 'channel_id', 'period_start_date']) }}") }}

with exposures as (

    select * from {{ ref('int_exposures_aggregated_to_periods') }}

),

final as (

    select
        consumer_id,
        channel_id,
        period_start_date,
        exposures_count
    from exposures

)

select * from final
order by consumer_id, channel_id, period_start_date
