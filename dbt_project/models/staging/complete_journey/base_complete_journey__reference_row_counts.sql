{{ config(materialized='table') }}

-- Rows of the reference tables per load and outcome, counted in the files, for data_quality.
{% set tables = complete_journey_reference_tables() %}
with landed as (

    {% for table_name in tables %}
    select
        'complete_journey_{{ table_name }}' as landed_table_name,
        load_id,
        count(*) as rows_count
    from ({{ complete_journey_landed(table_name) }}) as {{ table_name }}_rows
    group by load_id
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

faults as (

    select
        landed_table_name,
        load_id,
        reason_code,
        count(*) as rows_count
    from {{ ref('base_complete_journey__reference_faults') }}
    group by landed_table_name, load_id, reason_code

),

fault_totals as (

    select
        landed_table_name,
        load_id,
        sum(rows_count) as rows_count
    from faults
    group by landed_table_name, load_id

),

final as (

    select
        faults.landed_table_name,
        faults.load_id,
        faults.reason_code,
        faults.rows_count
    from faults
    union all
    select
        landed.landed_table_name,
        landed.load_id,
        cast(null as varchar) as reason_code,
        cast(landed.rows_count - coalesce(fault_totals.rows_count, 0) as bigint) as rows_count
    from landed
    left join fault_totals
        on landed.load_id = fault_totals.load_id and landed.landed_table_name = fault_totals.landed_table_name

)

select * from final
