{{ config(post_hook="{{ export_mart(['market_id', 'covariate_name', 'period_start_date']) }}") }}

with parameters as (

    select * from {{ ref('int_run_parameters') }}

),

covariates as (

    select * from {{ ref('int_market_covariates_accepted') }}

),

final as (

    select
        covariates.market_id,
        covariates.covariate_name,
        covariates.period_start_date,
        covariates.covariate_value
    from covariates
    inner join parameters
        on {{ period_last_date('covariates.period_start_date', 'parameters.period') }} <= parameters.as_of_date

)

select * from final
order by market_id, covariate_name, period_start_date
