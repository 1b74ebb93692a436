{{ config(
    post_hook="{{ export_reporting([
        'as_of_date', 'channel_id', 'segment_name', 'segment_value',
        'estimand', 'method', 'model_name', 'kpi', 'horizon', 'exposure_distribution'
    ]) }}"
) }}

with published as (

    {{ published_effects('segment_channel_effects') }}

),

final as (

    select
        as_of_date,
        channel_id,
        segment_name,
        segment_value,
        consumers_count,
        estimand,
        method,
        model_name,
        kpi,
        horizon,
        exposure_distribution,
        mean,
        standard_deviation,
        interval_lower,
        interval_upper,
        interval_level,
        probability_positive,
        unit,
        is_primary,
        is_identified,
        not_identified_reason,
        r_hat,
        ess,
        k_hat,
        model_version,
        data_version,
        error_ratio
    from published
    where consumers_count >= 10

)

select * from final
order by
    as_of_date,
    channel_id,
    segment_name,
    segment_value,
    estimand,
    method,
    model_name,
    kpi,
    horizon,
    exposure_distribution
