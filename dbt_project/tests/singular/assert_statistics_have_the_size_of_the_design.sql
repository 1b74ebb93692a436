-- A row here means that the statistics of a consumer do not follow design_columns: every number would be misread.
with designs as (

    select
        basis_id,
        count(column_index) as columns_count,
        max(column_index) as last_column_index
    from {{ ref('design_columns') }}
    group by basis_id

)

select
    sufficient.basis_id,
    sufficient.consumer_id,
    len(sufficient.statistics) as numbers_count,
    designs.columns_count
from {{ ref('consumer_sufficient_statistics') }} as sufficient
left join designs on sufficient.basis_id = designs.basis_id
where
    designs.columns_count is null
    or designs.last_column_index + 1 != designs.columns_count
    or len(sufficient.statistics) != designs.columns_count * (designs.columns_count + 1) / 2
    or sufficient.statistics[1] != sufficient.rows_count
    or list_has_any(list_transform(sufficient.statistics, lambda number: coalesce(isfinite(number), false)), [false])
