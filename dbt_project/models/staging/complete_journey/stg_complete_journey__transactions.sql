-- A transaction is a purchase line. Basket and product name it; a repeated line would be judged as a duplicate.
select
    basket_id || '-' || product_id as transaction_id,
    cast(household_id as varchar) as consumer_id,
    cast(store_id as varchar) as market_id,
    cast(transaction_timestamp as varchar) as occurred_at,
    cast(cast(sales_value as decimal(18, 4)) as varchar) as gmv_amount,
    'USD' as currency_code,
    cast(null as varchar) as is_return,
    cast(quantity as varchar) as units_count,
    cast(cast(retail_disc + coupon_disc + coupon_match_disc as decimal(18, 4)) as varchar) as discount_amount,
    {{ empty_map() }} as extra_columns,
    scope_reason_code,
    load_id,
    load_sequence,
    file_name,
    row_number,
    landed_at,
    'complete_journey_transactions' as landed_table_name
from {{ ref('base_complete_journey__purchase_lines') }}
