{{ config(
    post_hook="{{ export_reporting(['as_of_date', 'channel_id', 'market_id', 'multiple', 'model_name']) }}"
) }}

with published as (

    {{ published_effects('response_curves') }}

),

final as (

    select
        as_of_date,
        channel_id,
        market_id,
        multiple,
        spend_amount,
        intensity,
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
order by as_of_date, channel_id, market_id, multiple, model_name
