{{ config(
    post_hook="{{ export_reporting(['as_of_date', 'model_name', 'channel_id', 'estimand', 'exposure_distribution']) }}"
) }}

with changes as (

    select * from {{ source('artefacts', 'refresh_stability') }}

),

final as (

    select
        as_of_date,
        previous_as_of_date,
        channel_id,
        estimand,
        exposure_distribution,
        overlap,
        change_total,
        change_new_data,
        change_revised_data,
        change_model,
        change_monte_carlo,
        chance_standard_deviation,
        monte_carlo_error,
        reason,
        model_name,
        model_version,
        data_version
    from changes

)

select * from final
order by as_of_date, model_name, channel_id, estimand, exposure_distribution
