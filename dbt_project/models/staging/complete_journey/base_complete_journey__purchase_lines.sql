-- Purchase lines with their local date, and whether the mapping leaves them out: week 1 and the day after week 53 are
-- outside the window; fuel (its quantities are nonsense), coupon and miscellaneous lines are no merchandise.
with transactions as (

    {{ complete_journey_landed('transactions') }}

),

products as (

    {{ complete_journey_reference_rows('products') }}

),

lines as (

    select
        transactions.*,
        coalesce(products.department, 'unknown') as department,
        {{ local_date('transactions.transaction_timestamp') }} as occurred_date
    from transactions
    left join products on transactions.product_id = products.product_id

),

final as (

    select
        lines.*,
        case
            when not occurred_date between {{ complete_journey_first_date() }} and {{ complete_journey_last_date() }}
                then 'out_of_range_date'
            when department in ('FUEL', 'COUPON', 'MISCELLANEOUS') then 'out_of_scope'
        end as scope_reason_code
    from lines

)

select * from final
