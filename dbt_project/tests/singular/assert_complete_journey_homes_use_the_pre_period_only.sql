-- A row means: the pre-period in which homes and product affinities are fixed is not the run's pre-period, so that
-- exposures would rest on purchases of the outcome periods.
select
    pre_period_end_date,
    {{ complete_journey_pre_period_end() }} as used_pre_period_end_date
from {{ ref('int_run_parameters') }}
where
    source_name = 'complete_journey'
    and pre_period_end_date <> {{ complete_journey_pre_period_end() }}
