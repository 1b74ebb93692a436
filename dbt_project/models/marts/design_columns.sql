{{ config(post_hook="{{ export_mart(['basis_id', 'column_index nulls last', 'column_name']) }}") }}

with design_columns as (

    select * from {{ ref('int_design_columns_listed') }}

),

final as (

    select
        basis_id,
        column_index,
        column_name,
        column_kind,
        channel_id,
        covariate_name,
        period_start_date,
        exposure_bend
    from design_columns

)

select * from final
order by basis_id, column_index nulls last, column_name
