-- Channels as they occur: the mailing types of the campaigns, and the two store promotions. None has a known cost.
with campaign_types as (

    select distinct campaign_type
    from ({{ complete_journey_reference_rows('campaign_descriptions') }}) as campaign_descriptions

),

channels as (

    select
        'mail_' || lower(replace(campaign_type, ' ', '_')) as channel_id,
        'Campaign mailing ' || campaign_type as name
    from campaign_types
    union all
    select
        promotions.channel_id,
        promotions.name
    from (
        values
        ('store_mailer', 'Own products in the weekly mailer of the home store'),
        ('store_display', 'Own products on display in the home store')
    ) as promotions (channel_id, name)
    where {{ source_is_active('complete_journey') }}

)

select
    channel_id,
    name,
    'owned' as kind,
    cast(null as varchar) as cost_per_exposure,
    {{ empty_map() }} as extra_columns,
    cast(null as varchar) as scope_reason_code,
    cast(null as varchar) as load_id,
    cast(null as bigint) as load_sequence,
    cast(null as varchar) as file_name,
    cast(null as bigint) as row_number,
    cast(null as timestamp) as landed_at,
    cast(null as varchar) as landed_table_name
from channels
