-- A row here means that the sum of GMV in a consumer's statistics (intercept x outcome) is not the GMV of the panel.
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
        sum(gmv_net_amount) as gmv_net_amount,
        count(*) as rows_count
    from {{ ref('consumer_periods') }}
    where is_in_panel
    group by consumer_id

)

select
    panel.consumer_id,
    panel.gmv_net_amount,
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
    or abs(sufficient.statistics[designs.columns_count] - panel.gmv_net_amount::double) > 1e-6
