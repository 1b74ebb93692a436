-- Holidays, the one outside fact that is safe: dates were assigned to 2017, so weather or economy cannot be joined.
-- A price or discount index is left out: it is an outcome of the promotions whose effect is asked.
with markets as (

    select distinct market_id from {{ ref('base_complete_journey__homes') }}
    union all
    select '_unassigned' as market_id where {{ source_is_active('complete_journey') }}

),

periods as (

    select distinct {{ period_start('cast(days.day as date)') }} as period_start_date
    from generate_series(
        cast({{ complete_journey_first_date() }} as timestamp),
        cast({{ complete_journey_last_date() }} as timestamp),
        interval 1 day
    ) as days (day)

)

select
    markets.market_id,
    cast(periods.period_start_date as varchar) as period_start_date,
    map {
        -- Shopping for Christmas happens up to the 24th, which ends a week that starts on Monday.
        'holiday_thanksgiving': case
            when periods.period_start_date = {{ period_start("date '2017-11-23'") }} then '1' else '0'
        end,
        'holiday_christmas': case
            when periods.period_start_date = {{ period_start("date '2017-12-24'") }} then '1' else '0'
        end,
        'holiday_july4': case
            when periods.period_start_date = {{ period_start("date '2017-07-04'") }} then '1' else '0'
        end
    } as extra_columns,
    cast(null as varchar) as scope_reason_code,
    cast(null as varchar) as load_id,
    cast(null as bigint) as load_sequence,
    cast(null as varchar) as file_name,
    cast(null as bigint) as row_number,
    cast(null as timestamp) as landed_at,
    cast(null as varchar) as landed_table_name
from markets
cross join periods
