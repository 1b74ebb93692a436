{{ config(post_hook="{{ export_reporting(['as_of_date', 'model_name', 'check_name']) }}") }}

with checks as (

    select * from {{ source('artefacts', 'gate_checks') }}

),

champions as (

    select * from {{ source('artefacts', 'champions') }}

),

final as (

    select
        checks.as_of_date,
        checks.model_name,
        checks.model_version,
        checks.check_name,
        checks.outcome,
        checks.value,
        checks.threshold,
        checks.text,
        champions.decision,
        champions.decided_reason
    from checks
    left join champions
        on checks.as_of_date = champions.as_of_date and checks.model_name = champions.model_name

)

select * from final
order by as_of_date, model_name, check_name
