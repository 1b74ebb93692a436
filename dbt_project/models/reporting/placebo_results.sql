{{ config(post_hook="{{ export_reporting(['as_of_date', 'placebo_kind', 'channel_id', 'estimand']) }}") }}

with placebos as (

    select * from {{ source('artefacts', 'placebo_results') }}
    union all by name
    select * from {{ source('artefacts', 'placebo_refits') }}

),

final as (

    select
        as_of_date,
        placebo_kind,
        channel_id,
        estimand,
        estimate,
        standard_error,
        p_value,
        replicates_count,
        passed,
        reason,
        data_version,
        actual_estimate,
        false_positive_rate,
        false_positive_rate_lower,
        false_positive_rate_upper,
        smallest_detectable_effect,
        model_version
    from placebos

)

select * from final
order by as_of_date, placebo_kind, channel_id, estimand
