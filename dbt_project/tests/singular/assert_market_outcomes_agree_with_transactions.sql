-- A row here means that market_outcomes and transactions tell different stories of a market and period (more than
-- 5 % apart). market_outcomes win in market_periods; find out which one is incomplete.
{{ config(severity='warn') }}

select
    market_id,
    period_start_date,
    outcome_gmv_amount,
    transactions_gmv_amount,
    difference_share
from {{ ref('int_market_outcomes_compared_with_transactions') }}
where coalesce(difference_share, 1) > 0.05 and difference_amount != 0
