{{ config(post_hook="{{ export_reporting(['as_of_date', 'family']) }}") }}

-- the causal graph's row comes from its own asset: depends_on: {{ source('artefacts', 'causal_graph_edges') }}
with statuses as (

    select * from {{ source('artefacts', 'family_status') }}

),

final as (

    select
        as_of_date,
        family,
        status,
        reason,
        rows_count,
        data_version
    from statuses

)

select * from final
order by as_of_date, family
