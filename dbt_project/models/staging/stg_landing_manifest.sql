-- Loads that exist for the active source. A landed file whose load is not in here is the leaving of a killed run.
select
    load_id,
    source_name,
    table_name,
    case when source_name = 'complete_journey' then 'complete_journey_' || table_name else table_name end
        as landed_table_name,
    file_name,
    content_sha256,
    columns,
    extra_column_names,
    load_sequence,
    rows_count,
    landed_at
from {{ source('landing_manifest', 'manifest') }}
where source_name = {{ text_literal(var('source_name')) }}
