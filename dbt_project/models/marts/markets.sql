{{ config(post_hook="{{ export_mart(['market_id']) }}") }}

with markets as (

    select * from {{ ref('int_markets_accepted') }}

),

final as (

    select
        market_id,
        name,
        population::bigint as population
    from markets

)

select * from final
order by market_id
