{{ config(post_hook="{{ export_mart(['basis_id', 'consumer_id']) }}") }}

-- The upper triangle (row-major, i <= j) of the Gram matrix of the design columns over a consumer's panel rows.
-- A period dummy is 1 in one row, so its products are read off the lists instead of being summed: the block of
-- the dummies is diagonal, and dummy x column is that column's value in the period.
with design_columns as (

    select * from {{ ref('int_design_columns_listed') }}
    where column_index is not null

),

design_values as (

    select * from {{ ref('int_design_values_listed') }}

),

panel as (

    select * from {{ ref('int_consumer_periods_spined') }}
    where is_in_panel

),

scores as (

    select * from {{ ref('int_consumers_scored_on_rfm') }}

),

panel_consumers as (

    select
        consumer_id,
        any_value(market_id) as market_id,
        count(*)::integer as rows_count
    from panel
    group by consumer_id

),

panel_sizes as (

    select count(distinct period_start_date) as periods_count from panel

),

value_lists as (

    select
        design_columns.basis_id,
        panel_consumers.consumer_id,
        design_columns.column_index,
        design_columns.column_kind,
        coalesce(
            design_values.column_values, list_resize([0.0::double], panel_sizes.periods_count, 0.0::double)
        ) as column_values
    from panel_consumers
    cross join panel_sizes
    inner join design_columns on design_columns.column_kind != 'period'
    left join design_values
        on
            panel_consumers.consumer_id = design_values.consumer_id
            and design_columns.column_name = design_values.column_name

),

products as (

    select
        value_lists.basis_id,
        value_lists.consumer_id,
        value_lists.column_index,
        list(
            list_inner_product(value_lists.column_values, later_lists.column_values) order by later_lists.column_index
        ) as column_products
    from value_lists
    inner join value_lists as later_lists
        on
            value_lists.basis_id = later_lists.basis_id
            and value_lists.consumer_id = later_lists.consumer_id
            and value_lists.column_index <= later_lists.column_index
    group by value_lists.basis_id, value_lists.consumer_id, value_lists.column_index

),

-- one row of the triangle per column that is no dummy: columns before the dummies, dummies, outcome
triangle_rows as (

    select
        value_lists.basis_id,
        value_lists.consumer_id,
        value_lists.column_index,
        case
            when value_lists.column_kind = 'outcome' then products.column_products
            else list_concat(
                list_concat(products.column_products[:-2], value_lists.column_values[2:]),
                products.column_products[-1:]
            )
        end as row_products
    from value_lists
    inner join products
        on
            value_lists.basis_id = products.basis_id
            and value_lists.consumer_id = products.consumer_id
            and value_lists.column_index = products.column_index

),

-- the rows of the dummies, put before the row of the outcome
dummy_rows as (

    select
        indicators.basis_id,
        indicators.consumer_id,
        flatten(
            list_transform(
                range(2, len(indicators.column_values) + 1),
                lambda position: list_append(
                    list_resize(
                        [indicators.column_values[position]],
                        len(indicators.column_values) - position + 1,
                        0.0::double
                    ),
                    outcomes.column_values[position]
                )
            )
        ) as row_products
    from value_lists as indicators
    inner join value_lists as outcomes
        on
            indicators.basis_id = outcomes.basis_id
            and indicators.consumer_id = outcomes.consumer_id
            and outcomes.column_kind = 'outcome'
    where indicators.column_kind = 'intercept'

),

triangles as (

    select
        triangle_rows.basis_id,
        triangle_rows.consumer_id,
        list(triangle_rows.row_products order by triangle_rows.column_index) as rows_products
    from triangle_rows
    group by triangle_rows.basis_id, triangle_rows.consumer_id

),

final as (

    select
        triangles.basis_id,
        triangles.consumer_id,
        panel_consumers.market_id,
        scores.spend_stratum,
        panel_consumers.rows_count,
        list_concat(
            list_concat(flatten(triangles.rows_products[:-2]), dummy_rows.row_products),
            triangles.rows_products[-1]
        ) as statistics  -- noqa: RF04
    from triangles
    inner join dummy_rows
        on
            triangles.basis_id = dummy_rows.basis_id
            and triangles.consumer_id = dummy_rows.consumer_id
    inner join panel_consumers on triangles.consumer_id = panel_consumers.consumer_id
    inner join scores on triangles.consumer_id = scores.consumer_id

)

select * from final
order by basis_id, consumer_id
