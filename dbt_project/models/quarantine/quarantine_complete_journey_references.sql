-- Rows of The Complete Journey's reference tables (promotions above all) that are left out.
select
    reason_code,
    row_json,
    landed_table_name,
    load_id,
    file_name,
    row_number,
    landed_at
from {{ ref('base_complete_journey__reference_faults') }}
