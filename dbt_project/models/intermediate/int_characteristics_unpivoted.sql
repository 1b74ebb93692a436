{{ config(materialized='table') }}

with consumers as (

    select * from {{ ref('int_consumers_assigned_to_home_markets') }}

),

accepted as (

    select * from {{ ref('int_consumers_accepted') }}

),

entries as (

    select
        consumer_id,
        entry['key'] as declared_name,
        entry['value'] as value_text
    from (
        select
            consumer_id,
            unnest(map_entries(characteristics)) as entry
        from accepted
    ) as unnested

),

-- a number must survive a round trip: '007' is a label, and so is a column with 'nan' in it
kinds as (

    select
        declared_name,
        case
            when
                count(value_text) > 0
                and bool_and(
                    value_text is null
                    or (
                        coalesce(isfinite(try_cast(value_text as double)), false)
                        and not regexp_matches(value_text, '^\s*[+-]?0[0-9]')
                    )
                )
                then 'numeric'
            else 'categorical'
        end as characteristic_kind
    from entries
    group by declared_name

),

final as (

    select
        consumers.consumer_id,
        case
            when
                kinds.declared_name in (
                    'rfm_recency_periods', 'rfm_frequency_count', 'rfm_monetary_amount', 'pre_period_spend_stratum'
                )
                then 'declared_' || kinds.declared_name
            else kinds.declared_name
        end as characteristic_name,
        kinds.characteristic_kind,
        case
            when kinds.characteristic_kind = 'numeric' then try_cast(entries.value_text as double)
        end as value_numeric,
        entries.value_text
    from consumers
    cross join kinds
    left join entries
        on
            consumers.consumer_id = entries.consumer_id
            and kinds.declared_name = entries.declared_name

)

select * from final
