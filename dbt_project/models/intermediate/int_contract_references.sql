-- One row: which tables say what a valid market, channel, consumer and currency is (contract, design §2).
{% set currency_code = var('currency_code') %}
with transactions as (

    select currency_code from {{ ref('stg_transactions') }}

),

marketing_activities as (

    select currency_code from {{ ref('stg_marketing_activities') }}

),

currencies as (

    select currency_code
    from (
        select currency_code from transactions
        union all
        select currency_code from marketing_activities
    ) as mentioned
    where currency_code is not null
    group by currency_code
    order by count(*) desc, currency_code asc
    limit 1

),

final as (

    select
        case
            when exists (select 1 from {{ ref('stg_markets') }}) then 'markets'
            when
                exists (select 1 from {{ ref('stg_market_covariates') }})
                or exists (select 1 from {{ ref('stg_marketing_activities') }})
                then 'market_tables'
            else 'occurring'
        end as markets_origin,
        case
            when exists (select 1 from {{ ref('stg_channels') }}) then 'channels'
            when exists (select 1 from {{ ref('stg_marketing_activities') }}) then 'market_tables'
            else 'occurring'
        end as channels_origin,
        (select count(*) > 0 from {{ ref('stg_consumers') }}) as has_consumers,
        {% if currency_code %}
        {{ text_literal(currency_code) }} as currency_code
        {% else %}
        (select currencies.currency_code from currencies) as currency_code
        {% endif %}
)

select * from final
