-- A row means: an exposure is counted more than once, by consumer, channel, moment, campaign and exposure_id.
select
    consumer_id,
    channel_id,
    occurred_at,
    campaign_id,
    exposure_id,
    count(*) as rows_count
from {{ ref('int_exposures_classified') }}
where reason_code is null
group by consumer_id, channel_id, occurred_at, campaign_id, exposure_id
having count(*) > 1
