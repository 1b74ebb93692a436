-- A row means: rows of this load were lost or counted twice on the way from the landed file to accepted or quarantine.
with manifest as (

    select * from {{ ref('stg_landing_manifest') }}

),

ended as (

    {% for table_name in contract_table_names() %}
    select
        load_id,
        landed_table_name,
        count(*) as rows_count
    from {{ ref('int_' ~ table_name ~ '_classified') }}
    where reason_code is null and load_id is not null
    group by load_id, landed_table_name
    union all
    select
        load_id,
        landed_table_name,
        count(*) as rows_count
    from {{ ref('quarantine_' ~ table_name) }}
    where load_id is not null
    group by load_id, landed_table_name
    union all
    {% endfor %}
    select
        load_id,
        landed_table_name,
        rows_count
    from {{ ref('base_complete_journey__reference_row_counts') }}
    where reason_code is null
    union all
    select
        load_id,
        landed_table_name,
        count(*) as rows_count
    from {{ ref('quarantine_complete_journey_references') }}
    group by load_id, landed_table_name

),

summed as (

    select
        load_id,
        landed_table_name,
        sum(rows_count) as rows_count
    from ended
    group by load_id, landed_table_name

)

select
    coalesce(manifest.load_id, summed.load_id) as load_id,
    coalesce(manifest.landed_table_name, summed.landed_table_name) as landed_table_name,
    manifest.rows_count as landed_rows_count,
    summed.rows_count as ended_rows_count
from manifest
full join summed
    on manifest.load_id = summed.load_id and manifest.landed_table_name = summed.landed_table_name
where coalesce(manifest.rows_count, 0) <> coalesce(summed.rows_count, 0)
