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
        'rfm_recency_periods',
        'numeric',
        'pre_period',
        rfm_recency_periods::double,
        null
    from scores
    union all
    select
        consumer_id,
        'rfm_frequency_count',
        'numeric',
        'pre_period',
        rfm_frequency_count::double,
        null
    from scores
    union all
    select
        consumer_id,
        'rfm_monetary_amount',
        'numeric',
        'pre_period',
        rfm_monetary_amount::double,
        null
    from scores
    union all
    select
        consumer_id,
        'pre_period_spend_stratum',
        'categorical',
        'pre_period',
        null,
        spend_stratum
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
