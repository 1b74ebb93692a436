{{ config(materialized='table') }}

with transactions as (

    select * from {{ ref('int_transactions_accepted') }}

),

parameters as (

    select as_of_date from {{ ref('int_run_parameters') }}

),

final as (

    select
        transactions.consumer_id,
        transactions.period_start_date,
        sum(transactions.gmv_amount)::decimal(18, 4) as gmv_net_amount,
        sum(greatest(transactions.gmv_amount, 0))::decimal(18, 4) as gmv_gross_amount,
        count(*)::bigint as transactions_count,
        sum(transactions.units_count)::bigint as units_count
    from transactions
    inner join parameters on transactions.occurred_date <= parameters.as_of_date
    group by all

)

select * from final
