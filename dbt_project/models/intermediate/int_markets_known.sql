-- Valid markets: those of `markets` if given, else those of the market tables; empty where whatever occurs is valid.
with contract_references as (

    select * from {{ ref('int_contract_references') }}

),

listed as (

    select market_id from {{ ref('int_markets_accepted') }}

),

mentioned as (

    select market_id from {{ ref('int_market_covariates_classified') }} where reason_code is null
    union
    select market_id from {{ ref('int_marketing_activities_classified') }} where reason_code is null

),

final as (

    select listed.market_id
    from listed
    inner join contract_references on contract_references.markets_origin = 'markets'
    union
    select mentioned.market_id
    from mentioned
    inner join contract_references on contract_references.markets_origin = 'market_tables'

)

select * from final
