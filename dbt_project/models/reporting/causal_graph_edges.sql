{{ config(
    post_hook="{{ export_reporting(['as_of_date', 'market_id', 'source_id', 'target_id', 'method']) }}"
) }}

with edges as (

    select * from {{ source('artefacts', 'causal_graph_edges') }}

),

final as (

    select
        as_of_date,
        market_id,
        source_id,
        target_id,
        method,
        edge_probability,
        lag,
        sign,
        selection_frequency,
        structure,
        model_name,
        model_version,
        data_version
    from edges

)

select * from final
order by as_of_date, market_id, source_id, target_id, method
