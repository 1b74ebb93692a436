-- A row here means that money was lost or invented between accepted transactions and the mart, in all or in a
-- home market: look for periods outside the spine, or consumers without a home market row.
with accepted as (

    select
        homes.market_id,
        sum(transactions.gmv_amount) as gmv_net_amount,
        sum(greatest(transactions.gmv_amount, 0)) as gmv_gross_amount,
        count(*) as transactions_count
    from {{ ref('int_transactions_accepted') }} as transactions
    inner join {{ ref('int_run_parameters') }} as run_parameters
        on transactions.occurred_date <= run_parameters.as_of_date
    left join {{ ref('int_consumers_assigned_to_home_markets') }} as homes
        on transactions.consumer_id = homes.consumer_id
    group by homes.market_id

),

marts as (

    select
        market_id,
        sum(gmv_net_amount) as gmv_net_amount,
        sum(gmv_gross_amount) as gmv_gross_amount,
        sum(transactions_count) as transactions_count
    from {{ ref('consumer_periods') }}
    group by market_id

)

select
    coalesce(accepted.market_id, marts.market_id) as market_id,
    accepted.gmv_net_amount as accepted_gmv_net_amount,
    marts.gmv_net_amount as mart_gmv_net_amount,
    accepted.transactions_count as accepted_transactions_count,
    marts.transactions_count as mart_transactions_count
from accepted
full outer join marts on accepted.market_id = marts.market_id
where
    coalesce(accepted.gmv_net_amount, 0) != coalesce(marts.gmv_net_amount, 0)
    or coalesce(accepted.gmv_gross_amount, 0) != coalesce(marts.gmv_gross_amount, 0)
    or coalesce(accepted.transactions_count, 0) != coalesce(marts.transactions_count, 0)
