with parameters as (

    select * from {{ ref('int_run_parameters') }}

),

transactions as (

    select * from {{ ref('int_transactions_accepted') }}

),

-- an as_of_date inside a period leaves that period incomplete; it is kept, so that no purchase is lost
latest_purchases as (

    select max(transactions.period_start_date) as period_start_date
    from transactions
    inner join parameters on transactions.occurred_date <= parameters.as_of_date

),

spine as (

    select
        parameters.pre_period_end_date,
        parameters.last_period_start_date,
        parameters.period,
        unnest(
            generate_series(
                parameters.first_period_start_date,
                greatest(parameters.last_period_start_date, latest_purchases.period_start_date),
                case parameters.period
                    when 'day' then interval 1 day
                    when 'week' then interval 7 day
                    else interval 1 month
                end
            )
        )::date as period_start_date
    from parameters
    cross join latest_purchases

),

final as (

    select
        period_start_date,
        ({{ period_last_date('period_start_date', 'period') }})::date as period_last_date,
        (row_number() over (order by period_start_date) - 1)::integer as period_index,
        period_start_date < pre_period_end_date as is_pre_period,
        period_start_date <= last_period_start_date as is_complete
    from spine

)

select * from final
