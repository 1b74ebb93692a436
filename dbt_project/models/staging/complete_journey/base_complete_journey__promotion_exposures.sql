{{ config(materialized='table') }}

-- Opportunity to see: per household and week, how many of its own products (bought in the pre-period) its home store
-- advertised. It rests on the pre-period alone and not on a visit, so it is no outcome of the weeks after.
with promotions as (

    select * from {{ ref('base_complete_journey__promotions') }}

),

homes as (

    select * from {{ ref('base_complete_journey__homes') }}

),

own_lines as (

    select distinct
        household_id,
        product_id
    from {{ ref('base_complete_journey__purchase_lines') }}
    where
        scope_reason_code is null
        and occurred_date < {{ complete_journey_pre_period_end() }}

),

-- Joined first, and kept: promotions with all households of a store would be hundreds of millions of rows.
own_products as materialized (

    select
        homes.household_id,
        homes.home_store_id,
        own_lines.product_id
    from own_lines
    inner join homes on own_lines.household_id = homes.household_id

),

final as (

    select
        own_products.household_id,
        promotions.week_start_date,
        count(*) filter (where promotions.is_in_mailer) as mailer_products_count,
        count(*) filter (where promotions.is_on_display) as display_products_count
    from promotions
    inner join own_products
        on promotions.store_id = own_products.home_store_id and promotions.product_id = own_products.product_id
    group by own_products.household_id, promotions.week_start_date

)

select * from final
