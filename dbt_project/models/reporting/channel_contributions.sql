{{ config(
    post_hook="{{ export_reporting(['as_of_date', 'period_start_date', 'market_id', 'component', 'channel_id', 'model_name']) }}"
) }}

with published as (

    {{ published_effects('channel_contributions') }}

),

final as (

    select
        as_of_date,
        period_start_date,
        market_id,
        component,
        channel_id,
        mean,
        interval_lower,
        interval_upper,
        interval_level,
        unit,
        kpi,
        is_identified,
        not_identified_reason,
        model_name,
        model_version,
        data_version
    from published

)

select * from final
order by as_of_date, period_start_date, market_id, component, channel_id, model_name
