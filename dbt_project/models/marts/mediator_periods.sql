{{ config(post_hook="{{ export_mart(['market_id', 'mediator_name', 'period_start_date']) }}") }}

with parameters as (

    select * from {{ ref('int_run_parameters') }}

),

mediators as (

    select * from {{ ref('int_mediators_accepted') }}

),

final as (

    select
        mediators.market_id,
        mediators.mediator_name,
        mediators.period_start_date,
        mediators.mediator_value
    from mediators
    inner join parameters
        on {{ period_last_date('mediators.period_start_date', 'parameters.period') }} <= parameters.as_of_date

)

select * from final
order by market_id, mediator_name, period_start_date
