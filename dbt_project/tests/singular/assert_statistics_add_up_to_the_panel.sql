-- A row here means that the sum of the outcome in a consumer's statistics (intercept x outcome) is not the panel's.
with designs as (

    select
        basis_id,
        count(column_index)::integer as columns_count
    from {{ ref('design_columns') }}
    group by basis_id

),

panel as (

    select
        consumer_id,
        sum({{ outcome_value('gmv_net_amount') }}) as outcome_sum,
        count(*) as rows_count
    from {{ ref('consumer_periods') }}
    where is_in_panel
    group by consumer_id

)

select
    panel.consumer_id,
    panel.outcome_sum,
    panel.rows_count,
    sufficient.rows_count as statistics_rows_count
from panel
cross join designs
left join {{ ref('consumer_sufficient_statistics') }} as sufficient
    on
        panel.consumer_id = sufficient.consumer_id
        and designs.basis_id = sufficient.basis_id
where
    sufficient.consumer_id is null
    or sufficient.rows_count != panel.rows_count
    or abs(sufficient.statistics[designs.columns_count] - panel.outcome_sum::double) > 1e-6
