{{ config(materialized='table') }}

-- every list runs over all panel periods in order, 0 where the consumer has no panel row: a zero adds nothing
-- to a sum, and equal lengths make every sum a plain inner product in period order
with panel as (

    select * from {{ ref('int_consumer_periods_spined') }}
    where is_in_panel

),

exposures as (

    select * from {{ ref('int_exposures_aggregated_to_periods') }}

),

covariates as (

    select * from {{ ref('market_covariate_periods') }}

),

design_columns as (

    select * from {{ ref('int_design_columns_listed') }}
    where column_index is not null

),

panel_periods as (

    select distinct period_start_date from panel

),

panel_consumers as (

    select
        consumer_id,
        any_value(market_id) as market_id
    from panel
    group by consumer_id

),

base as (

    select
        panel_consumers.consumer_id,
        list(
            case when panel.consumer_id is null then 0.0 else 1.0 end::double
            order by panel_periods.period_start_date
        ) as is_in_panel_values,
        list(
            coalesce(({{ outcome_value('panel.gmv_net_amount') }})::double, 0.0)
            order by panel_periods.period_start_date
        ) as outcome_values
    from panel_consumers
    cross join panel_periods
    left join panel
        on
            panel_consumers.consumer_id = panel.consumer_id
            and panel_periods.period_start_date = panel.period_start_date
    group by panel_consumers.consumer_id

),

panel_exposures as (

    select
        exposures.consumer_id,
        exposures.channel_id,
        exposures.period_start_date,
        exposures.exposures_count
    from exposures
    inner join panel
        on
            exposures.consumer_id = panel.consumer_id
            and exposures.period_start_date = panel.period_start_date
    where exposures.exposures_count > 0

),

exposed as (

    select distinct
        consumer_id,
        channel_id
    from panel_exposures

),

exposure_lists as (

    select
        exposed.consumer_id,
        exposed.channel_id,
        list(
            coalesce(panel_exposures.exposures_count::double, 0.0) order by panel_periods.period_start_date
        ) as exposure_values
    from exposed
    cross join panel_periods
    left join panel_exposures
        on
            exposed.consumer_id = panel_exposures.consumer_id
            and exposed.channel_id = panel_exposures.channel_id
            and panel_periods.period_start_date = panel_exposures.period_start_date
    group by exposed.consumer_id, exposed.channel_id

),

covariate_names as (

    select covariate_name
    from design_columns
    where column_kind = 'covariate'
    group by covariate_name

),

bends as (

    select
        channel_id,
        any_value(exposure_bend) as exposure_bend
    from design_columns
    where column_kind = 'exposure_log1p'
    group by channel_id

),

markets as (

    select distinct market_id from panel_consumers

),

covariate_lists as (

    select
        covariate_names.covariate_name,
        markets.market_id,
        list(
            coalesce(covariates.covariate_value, 0.0) order by panel_periods.period_start_date
        ) as covariate_values
    from covariate_names
    cross join markets
    cross join panel_periods
    left join covariates
        on
            covariate_names.covariate_name = covariates.covariate_name
            and markets.market_id = covariates.market_id
            and panel_periods.period_start_date = covariates.period_start_date
    group by covariate_names.covariate_name, markets.market_id

),

final as (

    select
        consumer_id,
        'intercept' as column_name,
        is_in_panel_values as column_values
    from base
    union all
    select
        consumer_id,
        '{{ outcome_column() }}' as column_name,
        outcome_values as column_values
    from base
    union all
    select
        consumer_id,
        'exposure:' || channel_id as column_name,
        exposure_values as column_values
    from exposure_lists
    union all
    select
        consumer_id,
        'exposure_log1p:' || exposure_lists.channel_id as column_name,
        list_transform(
            exposure_lists.exposure_values, lambda exposure_value: ln(1.0 + exposure_value / bends.exposure_bend)
        ) as column_values
    from exposure_lists
    inner join bends on exposure_lists.channel_id = bends.channel_id
    union all
    select
        panel_consumers.consumer_id,
        'covariate:' || covariate_lists.covariate_name as column_name,
        list_transform(
            list_zip(covariate_lists.covariate_values, base.is_in_panel_values), lambda pair: pair[1] * pair[2]
        ) as column_values
    from panel_consumers
    inner join base on panel_consumers.consumer_id = base.consumer_id
    inner join covariate_lists on panel_consumers.market_id = covariate_lists.market_id

)

select * from final
