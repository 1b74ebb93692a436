-- One row: what this refresh is about. Dates are local dates; as_of_date is event time, landing_watermark knowledge
-- time. A period counts as complete once an event reached its last day; market tables name whole periods.
with contract_references as (

    select * from {{ ref('int_contract_references') }}

),

manifest as (

    select * from {{ ref('stg_landing_manifest') }}

),

outcome_events as (

    select
        min(period_start_date) as first_period_start_date,
        max(period_start_date) as latest_period_start_date,
        max(occurred_date) as latest_date
    from {{ ref('int_transactions_accepted') }}

),

exposure_events as (

    select
        min(period_start_date) as first_period_start_date,
        max(period_start_date) as latest_period_start_date,
        max(occurred_date) as latest_date
    from {{ ref('int_exposures_accepted') }}

),

market_outcomes as (

    select
        min(period_start_date) as first_period_start_date,
        max(period_start_date) as latest_period_start_date
    from {{ ref('int_market_outcomes_accepted') }}

),

marketing_activities as (

    select
        min(period_start_date) as first_period_start_date,
        max(period_start_date) as latest_period_start_date
    from {{ ref('int_marketing_activities_accepted') }}

),

loads as (

    select
        max(landed_at) as landing_watermark,
        sha256(coalesce(string_agg(load_id, ',' order by load_id), '')) as loads_hash
    from manifest

),

-- The window of the outcome decides: periods before or after it hold no GMV, and zeros there would be invented.
windows as (

    select
        coalesce(
            least(outcome_events.first_period_start_date, market_outcomes.first_period_start_date),
            exposure_events.first_period_start_date,
            marketing_activities.first_period_start_date
        ) as first_period_start_date,
        coalesce(
            outcome_events.latest_period_start_date,
            exposure_events.latest_period_start_date
        ) as latest_event_period_start_date,
        greatest(outcome_events.latest_date, exposure_events.latest_date) as latest_event_date,
        case
            when outcome_events.latest_date is null
                then coalesce(market_outcomes.latest_period_start_date, marketing_activities.latest_period_start_date)
            else market_outcomes.latest_period_start_date
        end as latest_market_period_start_date
    from outcome_events
    cross join exposure_events
    cross join market_outcomes
    cross join marketing_activities

),

complete_periods as (

    select
        windows.*,
        greatest(
            case
                when latest_event_date >= {{ period_shift('latest_event_period_start_date', 1) }} - 1
                    then latest_event_period_start_date
                else {{ period_shift('latest_event_period_start_date', -1) }}
            end,
            latest_market_period_start_date
        ) as last_complete_period_start_date
    from windows

),

dated as (

    select
        complete_periods.*,
        {% if var('as_of_date') %}
        cast({{ text_literal(var('as_of_date')) }} as date) as as_of_date
        {% else %}
        cast({{ period_shift('last_complete_period_start_date', 1) }} - 1 as date) as as_of_date
        {% endif %}
    from complete_periods

),

final as (

    select
        {{ text_literal(var('source_name')) }} as source_name,
        {{ text_literal(var('period')) }} as period,
        {{ text_literal(var('timezone')) }} as timezone,
        contract_references.currency_code,
        loads.loads_hash,
        {{ var('week_start') | int }} as week_start,
        dated.as_of_date,
        dated.first_period_start_date,
        least(
            dated.last_complete_period_start_date,
            {{ period_shift(period_start('dated.as_of_date + 1'), -1) }}
        ) as last_period_start_date,
        {{ period_shift('dated.first_period_start_date', var('pre_periods_count')) }} as pre_period_end_date,
        loads.landing_watermark
    from dated
    cross join contract_references
    cross join loads

)

select * from final
