{{ config(materialized='table') }}

-- One row per advertised product, home store and week of the window: was it in the mailer, was it on display.
-- Stores that are nobody's home reach no consumer's exposure and are left out. A table: its two readers together took
-- 12 s of CPU from a view over the landed file and 7 s from a table, writing it included.
with promotions as (

    {{ complete_journey_reference_rows('promotions') }}

),

home_stores as (

    select distinct home_store_id from {{ ref('base_complete_journey__homes') }}

),

final as (

    select
        promotions.store_id,
        promotions.product_id,
        promotions.mailer_location <> '0' as is_in_mailer,
        promotions.display_location <> '0' as is_on_display,
        {{ complete_journey_first_date() }} + cast(7 * (promotions.week - 2) as integer) as week_start_date
    from promotions
    inner join home_stores on promotions.store_id = home_stores.home_store_id
    where
        promotions.week between 2 and 53
        and (promotions.mailer_location <> '0' or promotions.display_location <> '0')

)

select * from final
