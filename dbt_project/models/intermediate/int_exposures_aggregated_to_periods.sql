{{ config(materialized='table') }}

with exposures as (

    select * from {{ ref('int_exposures_accepted') }}

),

parameters as (

    select as_of_date from {{ ref('int_run_parameters') }}

),

final as (

    select
        exposures.consumer_id,
        exposures.channel_id,
        exposures.period_start_date,
        sum(exposures.exposures_count)::bigint as exposures_count,
        -- a row that a source mapping derived (an advertised shelf, say) has no load and shows no sign of life
        bool_or(exposures.load_id is not null) as is_landed
    from exposures
    inner join parameters on exposures.occurred_date <= parameters.as_of_date
    group by all

)

select * from final
