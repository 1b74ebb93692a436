{{ config(materialized='table') }}

with bases as (

    select * from {{ ref('basis_candidates') }}
    where is_emitted

),

panel as (

    select * from {{ ref('int_consumer_periods_spined') }}
    where is_in_panel

),

exposures as (

    select * from {{ ref('int_exposures_aggregated_to_periods') }}

),

channels as (

    select * from {{ ref('int_channels_accepted') }}

),

activities as (

    select * from {{ ref('int_marketing_activities_accepted') }}

),

covariates as (

    select * from {{ ref('market_covariate_periods') }}

),

panel_periods as (

    select
        period_start_date,
        row_number() over (order by period_start_date) as panel_period_number
    from (select distinct period_start_date from panel) as distinct_periods

),

known_channels as (

    select channel_id from channels
    union
    select channel_id from activities
    union
    select channel_id from exposures

),

exposed_channels as (

    select distinct exposures.channel_id
    from exposures
    inner join panel
        on
            exposures.consumer_id = panel.consumer_id
            and exposures.period_start_date = panel.period_start_date
    where exposures.exposures_count > 0

),

-- where log1p(x / bend) bends: the power of two nearest the mean exposures where exposed, in any period of the data,
-- so that a refresh with slightly other exposures keeps its columns (models/transforms/concave.py)
bends as (

    select
        exposures.channel_id,
        pow(2.0, round(log2(avg(exposures.exposures_count)))) as exposure_bend
    from exposures
    semi join panel on exposures.consumer_id = panel.consumer_id
    where exposures.exposures_count > 0
    group by exposures.channel_id

),

panel_market_periods as (

    select distinct
        market_id,
        period_start_date
    from panel

),

covariate_names as (

    select distinct covariate_name from covariates

),

judged_covariates as (

    select
        covariate_names.covariate_name,
        count(*) filter (
            where covariates.covariate_value is null or not isfinite(covariates.covariate_value)
        ) as gaps_count
    from covariate_names
    cross join panel_market_periods
    left join covariates
        on
            covariate_names.covariate_name = covariates.covariate_name
            and panel_market_periods.market_id = covariates.market_id
            and panel_market_periods.period_start_date = covariates.period_start_date
    group by covariate_names.covariate_name

),

candidates as (

    select
        basis_id,
        1 as block_number,
        'intercept' as column_name,
        'intercept' as column_kind,
        null::varchar as channel_id,
        null::varchar as covariate_name,
        null::date as period_start_date,
        null::double as exposure_bend
    from bases
    union all
    select
        bases.basis_id,
        2 as block_number,
        'exposure:' || exposed_channels.channel_id as column_name,
        'exposure' as column_kind,
        exposed_channels.channel_id,
        null as covariate_name,
        null as period_start_date,
        null as exposure_bend
    from bases
    cross join exposed_channels
    where bases.has_exposure
    union all
    select
        bases.basis_id,
        3 as block_number,
        'exposure_log1p:' || exposed_channels.channel_id as column_name,
        'exposure_log1p' as column_kind,
        exposed_channels.channel_id,
        null as covariate_name,
        null as period_start_date,
        bends.exposure_bend
    from bases
    cross join exposed_channels
    inner join bends on exposed_channels.channel_id = bends.channel_id
    where bases.has_exposure_log1p
    union all
    select
        bases.basis_id,
        4 as block_number,
        'covariate:' || judged_covariates.covariate_name as column_name,
        'covariate' as column_kind,
        null as channel_id,
        judged_covariates.covariate_name,
        null as period_start_date,
        null as exposure_bend
    from bases
    cross join judged_covariates
    where judged_covariates.gaps_count = 0
    union all
    select
        bases.basis_id,
        5 as block_number,
        'period:' || strftime(panel_periods.period_start_date, '%Y-%m-%d') as column_name,
        'period' as column_kind,
        null as channel_id,
        null as covariate_name,
        panel_periods.period_start_date,
        null as exposure_bend
    from bases
    cross join panel_periods
    where panel_periods.panel_period_number > 1
    union all
    select
        basis_id,
        6 as block_number,
        'gmv_net_amount' as column_name,
        'outcome' as column_kind,
        null as channel_id,
        null as covariate_name,
        null as period_start_date,
        null as exposure_bend
    from bases

),

left_out as (

    select
        bases.basis_id,
        'exposure:' || known_channels.channel_id as column_name,
        'exposure_none' as column_kind,
        known_channels.channel_id,
        null::varchar as covariate_name
    from bases
    cross join known_channels
    anti join exposed_channels on known_channels.channel_id = exposed_channels.channel_id
    union all
    select
        bases.basis_id,
        'covariate:' || judged_covariates.covariate_name as column_name,
        'covariate_incomplete' as column_kind,
        null as channel_id,
        judged_covariates.covariate_name
    from bases
    cross join judged_covariates
    where judged_covariates.gaps_count > 0

),

final as (

    select
        basis_id,
        (
            row_number() over (
                partition by basis_id
                order by
                    block_number asc,
                    channel_id asc nulls first,
                    covariate_name asc nulls first,
                    period_start_date asc nulls first
            ) - 1
        )::integer as column_index,
        column_name,
        column_kind,
        channel_id,
        covariate_name,
        period_start_date,
        exposure_bend
    from candidates
    union all
    select
        basis_id,
        null as column_index,
        column_name,
        column_kind,
        channel_id,
        covariate_name,
        null as period_start_date,
        null as exposure_bend
    from left_out

)

select * from final
