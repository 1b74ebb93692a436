{{ config(post_hook="{{ export_reporting(['load_id', 'file_name', 'table_name', 'reason_code']) }}") }}

-- Where every landed row went: one row per load, file, table and reason code. Recomputed from all loads each time.
with manifest as (

    select * from {{ ref('stg_landing_manifest') }}

),

classified as (

    {% for table_name in contract_table_names() %}
    select
        load_id,
        landed_table_name,
        reason_code
    from {{ ref('int_' ~ table_name ~ '_classified') }}
    where load_id is not null
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

counted as (

    select
        load_id,
        landed_table_name,
        coalesce(reason_code, 'accepted') as reason_code,
        count(*) as rows_count
    from classified
    group by load_id, landed_table_name, coalesce(reason_code, 'accepted')
    union all
    select
        load_id,
        landed_table_name,
        coalesce(reason_code, 'accepted') as reason_code,
        rows_count
    from {{ ref('base_complete_journey__reference_row_counts') }}

),

final as (

    select
        manifest.load_id,
        manifest.file_name,
        manifest.landed_table_name as table_name,
        coalesce(counted.reason_code, 'accepted') as reason_code,
        coalesce(counted.rows_count, 0) as rows_count,
        manifest.landed_at
    from manifest
    left join counted
        on manifest.load_id = counted.load_id and manifest.landed_table_name = counted.landed_table_name

)

select * from final
order by landed_at, load_id, table_name, reason_code
