-- A row means: there is not exactly one set of run parameters, or its dates contradict each other.
with run_parameters as (

    select * from {{ ref('int_run_parameters') }}

),

counted as (

    select
        count(*) as rows_count,
        count(*) filter (where last_period_start_date > as_of_date) as late_rows_count,
        count(*) filter (where pre_period_end_date < first_period_start_date) as early_rows_count
    from run_parameters

)

select * from counted
where rows_count <> 1 or late_rows_count > 0 or early_rows_count > 0
