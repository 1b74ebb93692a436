-- Mailings are one contact at the start of the campaign (channel mail_type_a, _b, _c). Store mailer and display are
-- derived and have no landed row of their own (load_id is null).
with campaigns as (

    {{ complete_journey_landed('campaigns') }}

),

campaign_descriptions as (

    {{ complete_journey_reference_rows('campaign_descriptions') }}

),

promotion_exposures as (

    select * from {{ ref('base_complete_journey__promotion_exposures') }}

),

mailings as (

    select
        cast(campaigns.household_id as varchar) as consumer_id,
        'mail_' || lower(replace(campaign_descriptions.campaign_type, ' ', '_')) as channel_id,
        cast({{ utc_midnight('campaign_descriptions.start_date') }} as varchar) as occurred_at,
        '1' as exposures_count,
        cast(campaigns.campaign_id as varchar) as campaign_id,
        case
            when
                not cast(campaign_descriptions.start_date as date)
                between {{ complete_journey_first_date() }} and {{ complete_journey_last_date() }}
                then 'out_of_range_date'
        end as scope_reason_code,
        campaigns.load_id,
        campaigns.load_sequence,
        campaigns.file_name,
        campaigns.row_number,
        campaigns.landed_at,
        'complete_journey_campaigns' as landed_table_name
    from campaigns
    left join campaign_descriptions on campaigns.campaign_id = campaign_descriptions.campaign_id

),

promotions as (

    select
        cast(household_id as varchar) as consumer_id,
        'store_mailer' as channel_id,
        cast({{ utc_midnight('week_start_date') }} as varchar) as occurred_at,
        cast(mailer_products_count as varchar) as exposures_count
    from promotion_exposures
    where mailer_products_count > 0
    union all
    select
        cast(household_id as varchar) as consumer_id,
        'store_display' as channel_id,
        cast({{ utc_midnight('week_start_date') }} as varchar) as occurred_at,
        cast(display_products_count as varchar) as exposures_count
    from promotion_exposures
    where display_products_count > 0

),

combined as (

    select * from mailings
    union all by name
    select * from promotions

),

final as (

    select
        consumer_id,
        channel_id,
        occurred_at,
        exposures_count,
        campaign_id,
        cast(null as varchar) as exposure_id,
        {{ empty_map() }} as extra_columns,
        scope_reason_code,
        load_id,
        load_sequence,
        file_name,
        row_number,
        landed_at,
        landed_table_name
    from combined

)

select * from final
