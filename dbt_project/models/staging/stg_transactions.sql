{{ staged_source_union('transactions', ref('stg_complete_journey__transactions')) }}
