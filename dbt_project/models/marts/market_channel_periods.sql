{{ config(post_hook="{{ export_mart(['market_id', 'channel_id', 'period_start_date']) }}") }}

with parameters as (

    select * from {{ ref('int_run_parameters') }}

),

activities as (

    select activities.*
    from {{ ref('int_marketing_activities_accepted') }} as activities
    inner join parameters
        on {{ period_last_date('activities.period_start_date', 'parameters.period') }} <= parameters.as_of_date

),

periods as (

    select * from {{ ref('int_periods_spined') }}

),

consumers as (

    select * from {{ ref('int_consumers_assigned_to_home_markets') }}

),

exposures as (

    select * from {{ ref('int_exposures_aggregated_to_periods') }}

),

listed as (

    select * from {{ ref('int_channels_accepted') }}

),

exposed as (

    select
        consumers.market_id,
        exposures.channel_id,
        exposures.period_start_date,
        sum(exposures.exposures_count)::bigint as exposures_count
    from exposures
    inner join consumers on exposures.consumer_id = consumers.consumer_id
    group by consumers.market_id, exposures.channel_id, exposures.period_start_date

),

markets as (

    select distinct market_id from consumers

),

channels as (

    select channel_id from exposures
    union
    select channel_id from listed

),

-- no event in a complete period of the data means no exposure, so the aggregated series has no holes, and a channel
-- that is only listed is 0 wherever there are consumers
aggregated as (

    select
        markets.market_id,
        channels.channel_id,
        periods.period_start_date,
        coalesce(exposed.exposures_count, 0)::bigint as exposures_count
    from markets
    cross join channels
    cross join periods
    left join exposed
        on
            markets.market_id = exposed.market_id
            and channels.channel_id = exposed.channel_id
            and periods.period_start_date = exposed.period_start_date
    where periods.is_complete

),

final as (

    select
        activities.market_id,
        activities.channel_id,
        activities.period_start_date,
        aggregated.exposures_count,
        activities.intensity::double as intensity,
        'marketing_activities' as intensity_source,
        activities.spend_amount::decimal(18, 4) as spend_amount,
        activities.currency_code,
        activities.reach_count,
        activities.frequency
    from activities
    left join aggregated
        on
            activities.market_id = aggregated.market_id
            and activities.channel_id = aggregated.channel_id
            and activities.period_start_date = aggregated.period_start_date
    union all
    select
        aggregated.market_id,
        aggregated.channel_id,
        aggregated.period_start_date,
        aggregated.exposures_count,
        aggregated.exposures_count::double as intensity,
        'exposures' as intensity_source,
        null as spend_amount,
        null as currency_code,
        null as reach_count,
        null as frequency
    from aggregated
    anti join activities
        on
            aggregated.market_id = activities.market_id
            and aggregated.channel_id = activities.channel_id

)

select * from final
order by market_id, channel_id, period_start_date
