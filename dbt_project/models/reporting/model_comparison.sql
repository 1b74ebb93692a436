{{ config(
    post_hook="{{ export_reporting(['as_of_date', 'split_kind', 'split', 'method', 'metric']) }}"
) }}

with comparisons as (

    select * from {{ source('artefacts', 'model_comparison') }}

),

final as (

    select
        as_of_date,
        split_kind,
        split,
        method,
        metric,
        value,
        unit,
        variant,
        standard_error,
        effective_parameters,
        unreliable_share,
        reason,
        model_name,
        model_version,
        data_version
    from comparisons

)

select * from final
order by as_of_date, split_kind, split, method, metric
