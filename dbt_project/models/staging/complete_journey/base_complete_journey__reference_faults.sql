{{ config(materialized='table') }}

-- Rows of the reference tables that are left out (they are no contract rows, but every landed row is accounted for).
{% set tables = complete_journey_reference_tables() %}
{% for table_name in tables %}
select * from (
    {{ complete_journey_reference_faults(table_name, tables[table_name]['key'], tables[table_name]['content']) }}
) as {{ table_name }}_faults
{{ 'union all' if not loop.last }}
{% endfor %}
