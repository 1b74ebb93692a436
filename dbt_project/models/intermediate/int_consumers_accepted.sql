{{ config(materialized='view') }}

-- Accepted consumers. Where no consumers table was landed at all, consumers are those of the accepted events: first
-- seen at their first event, without home market and characteristics.
with contract_references as (

    select * from {{ ref('int_contract_references') }}

),

listed as (

    select
        consumer_id,
        market_id,
        extra_columns as characteristics,
        active_until,
        first_seen_date,
        first_seen_at,
        load_id,
        file_name,
        row_number
    from {{ ref('int_consumers_classified') }}
    where reason_code is null

),

events as (

    select
        consumer_id,
        occurred_at,
        occurred_date
    from {{ ref('int_transactions_accepted') }}
    union all
    select
        consumer_id,
        occurred_at,
        occurred_date
    from {{ ref('int_exposures_accepted') }}

),

observed as (

    select
        events.consumer_id,
        min(events.occurred_date) as first_seen_date,
        min(events.occurred_at) as first_seen_at
    from events
    inner join contract_references on not contract_references.has_consumers
    group by events.consumer_id

),

final as (

    select * from listed
    union all by name
    select
        observed.consumer_id,
        cast(null as varchar) as market_id,
        {{ empty_map() }} as characteristics,
        cast(null as date) as active_until,
        observed.first_seen_date,
        observed.first_seen_at,
        cast(null as varchar) as load_id,
        cast(null as varchar) as file_name,
        cast(null as bigint) as row_number
    from observed

)

select * from final
