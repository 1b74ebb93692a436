{{ config(materialized='table') }}

-- One row per household that ever bought. Who bought in the pre-period was there before the data begin, so its panel
-- starts with them; others start at their first purchase. Demographics are brackets: numbers are their midpoints, the
-- open ones (65+, 250K+, 5+, 3+) a stated value. Missing ones (65 %, not at random) stay missing.
with lines as (

    select
        household_id,
        transaction_timestamp,
        scope_reason_code,
        occurred_date
    from {{ ref('base_complete_journey__purchase_lines') }}

),

homes as (

    select * from {{ ref('base_complete_journey__homes') }}

),

demographics as (

    {{ complete_journey_reference_rows('demographics') }}

),

households as (

    select
        household_id,
        coalesce(
            min(transaction_timestamp) filter (where scope_reason_code is null),
            min(transaction_timestamp)
        ) as first_purchase_at
    from lines
    group by household_id

),

final as (

    select
        cast(households.household_id as varchar) as consumer_id,
        homes.market_id,
        cast(
            case
                when homes.household_id is not null then {{ utc_midnight(complete_journey_first_date()) }}
                else households.first_purchase_at
            end as varchar
        ) as first_seen_at,
        cast(null as varchar) as active_until,
        map {
            'age_years': case demographics.age
                when '19-24' then '21.5'
                when '25-34' then '29.5'
                when '35-44' then '39.5'
                when '45-54' then '49.5'
                when '55-64' then '59.5'
                when '65+' then '70'
            end,
            'income_thousand_usd': case demographics.income
                when 'Under 15K' then '7.5'
                when '15-24K' then '19.5'
                when '25-34K' then '29.5'
                when '35-49K' then '42'
                when '50-74K' then '62'
                when '75-99K' then '87'
                when '100-124K' then '112'
                when '125-149K' then '137'
                when '150-174K' then '162'
                when '175-199K' then '187'
                when '200-249K' then '224.5'
                when '250K+' then '275'
            end,
            'household_size': replace(demographics.household_size, '+', ''),
            'kids_count': replace(demographics.kids_count, '+', ''),
            'home_ownership': demographics.home_ownership,
            'marital_status': demographics.marital_status
        } as extra_columns,
        cast(null as varchar) as scope_reason_code,
        cast(null as varchar) as load_id,
        cast(null as bigint) as load_sequence,
        cast(null as varchar) as file_name,
        cast(null as bigint) as row_number,
        cast(null as timestamp) as landed_at,
        cast(null as varchar) as landed_table_name
    from households
    left join homes on households.household_id = homes.household_id
    left join demographics on households.household_id = demographics.household_id

)

select * from final
