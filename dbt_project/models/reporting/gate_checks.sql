{{ config(post_hook="{{ export_reporting(['as_of_date', 'model_name', 'check_name']) }}") }}

with checks as (

    select * from {{ source('artefacts', 'gate_checks') }}

),

final as (

    select
        as_of_date,
        model_name,
        model_version,
        check_name,
        outcome,
        value,
        threshold,
        text
    from checks

)

select * from final
order by as_of_date, model_name, check_name
