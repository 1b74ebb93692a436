{{ config(post_hook="{{ export_mart(['lift_test_id']) }}") }}

with parameters as (

    select * from {{ ref('int_run_parameters') }}

),

lift_tests as (

    select * from {{ ref('int_lift_tests_accepted') }}

),

-- an experiment that was still running at as_of_date has not been measured yet
final as (

    select
        lift_tests.lift_test_id,
        lift_tests.channel_ids::varchar as channel_ids,
        lift_tests.market_ids::varchar as market_ids,
        lift_tests.start_date::date as start_date,
        lift_tests.end_date::date as end_date,
        lift_tests.spend_delta_amount::decimal(18, 4) as spend_delta_amount,
        lift_tests.exposures_delta_count::bigint as exposures_delta_count,
        lift_tests.lift_amount::decimal(18, 4) as lift_amount,
        lift_tests.lift_standard_error::decimal(18, 4) as lift_standard_error,
        lift_tests.kpi
    from lift_tests
    inner join parameters on lift_tests.end_date <= parameters.as_of_date

)

select * from final
order by lift_test_id
