-- Valid channels: those of `channels` if given, else those with activities; empty where whatever occurs is valid.
with contract_references as (

    select * from {{ ref('int_contract_references') }}

),

listed as (

    select channel_id from {{ ref('int_channels_accepted') }}

),

mentioned as (

    select channel_id from {{ ref('int_marketing_activities_classified') }} where reason_code is null

),

final as (

    select listed.channel_id
    from listed
    inner join contract_references on contract_references.channels_origin = 'channels'
    union
    select mentioned.channel_id
    from mentioned
    inner join contract_references on contract_references.channels_origin = 'market_tables'

)

select * from final
