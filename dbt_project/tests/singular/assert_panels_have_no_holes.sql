-- A row here means that a consumer has panel rows before and after a period that is missing or left out; lags,
-- leads and own means over such a panel would be wrong.
select
    consumer_id,
    min(period_index) as first_period_index,
    max(period_index) as last_period_index,
    count(*) as rows_count
from {{ ref('consumer_periods') }}
where is_in_panel
group by consumer_id
having max(period_index) - min(period_index) + 1 != count(*)
