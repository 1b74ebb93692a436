{{ config(
    post_hook="{{ export_reporting(['as_of_date', 'specification_kind', 'specification', 'channel_id', 'estimand']) }}"
) }}

with checks as (

    select * from {{ source('artefacts', 'robustness_checks') }}

),

final as (

    select
        as_of_date,
        specification_kind,
        specification,
        channel_id,
        estimand,
        mean,
        standard_deviation,
        interval_lower,
        interval_upper,
        interval_level,
        unit,
        difference,
        chance_standard_deviation,
        sign_holds,
        order_holds,
        interval_holds_baseline,
        k_hat,
        reason,
        model_name,
        model_version,
        data_version
    from checks

)

select * from final
order by as_of_date, specification_kind, specification, channel_id, estimand
