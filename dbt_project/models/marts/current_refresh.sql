{{ config(post_hook="{{ export_current_refresh() }}") }}

-- built last, so that the file it exports names a refresh whose other files are all there
-- depends_on: {{ ref('consumer_periods') }}
-- depends_on: {{ ref('consumer_channel_periods') }}
-- depends_on: {{ ref('consumer_characteristics') }}
-- depends_on: {{ ref('consumer_sufficient_statistics') }}
-- depends_on: {{ ref('design_columns') }}
-- depends_on: {{ ref('market_periods') }}
-- depends_on: {{ ref('market_channel_periods') }}
-- depends_on: {{ ref('market_covariate_periods') }}
-- depends_on: {{ ref('mediator_periods') }}
-- depends_on: {{ ref('markets') }}
-- depends_on: {{ ref('lift_tests') }}
with parameters as (

    select * from {{ ref('int_run_parameters') }}

),

final as (

    select
        source_name,
        period,
        currency_code,
        loads_hash,
        as_of_date,
        first_period_start_date,
        last_period_start_date,
        pre_period_end_date,
        landing_watermark
    from parameters

)

select * from final
