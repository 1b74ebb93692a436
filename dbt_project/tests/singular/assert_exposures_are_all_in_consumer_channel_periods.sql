-- A row here means that exposures were lost or counted twice between accepted events and the mart.
with accepted as (

    select
        exposures.channel_id,
        sum(exposures.exposures_count) as exposures_count
    from {{ ref('int_exposures_accepted') }} as exposures
    inner join {{ ref('int_run_parameters') }} as run_parameters
        on exposures.occurred_date <= run_parameters.as_of_date
    group by exposures.channel_id

),

marts as (

    select
        channel_id,
        sum(exposures_count) as exposures_count
    from {{ ref('consumer_channel_periods') }}
    group by channel_id

)

select
    coalesce(accepted.channel_id, marts.channel_id) as channel_id,
    accepted.exposures_count as accepted_exposures_count,
    marts.exposures_count as mart_exposures_count
from accepted
full outer join marts on accepted.channel_id = marts.channel_id
where accepted.exposures_count is distinct from marts.exposures_count
