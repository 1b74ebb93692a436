-- A row means: data_quality, which people read, does not account for every landed row of this load.
with manifest as (

    select * from {{ ref('stg_landing_manifest') }}

),

reported as (

    select
        load_id,
        table_name,
        sum(rows_count) as rows_count
    from {{ ref('data_quality') }}
    group by load_id, table_name

)

select
    manifest.load_id,
    manifest.rows_count as landed_rows_count,
    reported.rows_count as reported_rows_count
from manifest
full join reported
    on manifest.load_id = reported.load_id and manifest.landed_table_name = reported.table_name
where manifest.rows_count is distinct from reported.rows_count
