-- A row here means that a consumer-period is in the panel although a reason speaks against it, or out without one.
select
    consumer_id,
    period_start_date,
    is_pre_period,
    is_in_panel,
    exclusion_reason
from {{ ref('consumer_periods') }}
where
    is_in_panel != (exclusion_reason is null)
    or (is_in_panel and is_pre_period)
