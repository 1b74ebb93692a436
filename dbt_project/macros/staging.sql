{# Contract-shaped files: the landed rows whose load the manifest knows. #}
{% macro staged_canonical(table_name) %}
with landed as (

    select * from {{ source('landing', table_name) }}

),

manifest as (

    select * from {{ ref('stg_landing_manifest') }}

),

final as (

    select
        {% for name, kind, is_nullable in contract_table(table_name)['columns'] %}
        landed.{{ name }},
        {% endfor %}
        landed.extra_columns,
        cast(null as varchar) as scope_reason_code,
        landed.load_id,
        landed.load_sequence,
        landed.file_name,
        landed.row_number,
        landed.landed_at,
        '{{ table_name }}' as landed_table_name
    from landed
    inner join manifest
        on landed.load_id = manifest.load_id and manifest.table_name = '{{ table_name }}'

)

select * from final
{% endmacro %}

{# Rows of the active source. Both branches are always compiled, so that the graph does not depend on the source. #}
{% macro staged_source_union(table_name, complete_journey_relation=none) %}
select * from {{ ref('stg_canonical__' ~ table_name) }}
{% if complete_journey_relation %}
union all by name
select * from {{ complete_journey_relation }}
{% endif %}
{% endmacro %}

{# Constant condition: rows of a source that is not active are read by nobody. #}
{% macro source_is_active(source_name) -%}
    '{{ source_name }}' = {{ text_literal(var('source_name')) }}
{%- endmacro %}

{# Folder of contract-shaped files: the simulated world's or the canonical one's. #}
