{{ config(
    post_hook="{{ export_mart(['consumer_id', 'characteristic_origin', 'characteristic_name']) }}"
) }}

with declared as (

    select * from {{ ref('int_characteristics_unpivoted') }}

),

scores as (

    select * from {{ ref('int_consumers_scored_on_rfm') }}

),

unioned as (

    select
        consumer_id,
        characteristic_name,
        characteristic_kind,
        'declared' as characteristic_origin,
        value_numeric,
        value_text
    from declared
    union all
    select
        consumer_id,
        'rfm_recency_periods' as characteristic_name,
        'numeric' as characteristic_kind,
        'pre_period' as characteristic_origin,
        rfm_recency_periods::double as value_numeric,
        null as value_text
    from scores
    union all
    select
        consumer_id,
        'rfm_frequency_count' as characteristic_name,
        'numeric' as characteristic_kind,
        'pre_period' as characteristic_origin,
        rfm_frequency_count::double as value_numeric,
        null as value_text
    from scores
    union all
    select
        consumer_id,
        'rfm_monetary_amount' as characteristic_name,
        'numeric' as characteristic_kind,
        'pre_period' as characteristic_origin,
        rfm_monetary_amount::double as value_numeric,
        null as value_text
    from scores
    union all
    select
        consumer_id,
        'pre_period_spend_stratum' as characteristic_name,
        'categorical' as characteristic_kind,
        'pre_period' as characteristic_origin,
        null as value_numeric,
        spend_stratum as value_text
    from scores

),

final as (

    select
        consumer_id,
        characteristic_name,
        characteristic_kind,
        characteristic_origin,
        value_numeric,
        value_text,
        value_numeric is null and value_text is null as is_missing
    from unioned

)

select * from final
order by consumer_id, characteristic_origin, characteristic_name
