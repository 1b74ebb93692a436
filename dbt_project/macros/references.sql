{# Conditions on identifiers and currencies; each reads what int_contract_references says is valid. #}

{% macro contract_reference(column) -%}
    (select contract_references.{{ column }} from {{ ref('int_contract_references') }} as contract_references)
{%- endmacro %}

{# An identifier that no listing names; `origins` are the origins for which `known` is a listing. #}
{% macro is_unknown(column, entity, origins, known) -%}
    {{ contract_reference(entity ~ '_origin') }} in ('{{ origins | join("', '") }}')
    and {{ column }} not in (select known.{{ column }} from {{ known }} as known)
{%- endmacro %}

{# A JSON list that names an unknown identifier. #}
{% macro is_any_unknown(list_column, entity, known, column) -%}
    {{ contract_reference(entity ~ '_origin') }} <> 'occurring'
    and not list_has_all(
        (select coalesce(list(known.{{ column }}), []) from {{ known }} as known), from_json({{ list_column }}, '["VARCHAR"]')
    )
{%- endmacro %}

{# A consumer that the consumers table does not hold, or holds only in quarantined rows. #}
{% macro is_unknown_consumer(column) -%}
    {{ contract_reference('has_consumers') }}
    and {{ column }} not in (
        select known.consumer_id from {{ ref('int_consumers_classified') }} as known where known.reason_code is null
    )
{%- endmacro %}

{% macro is_wrong_currency(column) -%}
    {{ column }} <> {{ contract_reference('currency_code') }}
{%- endmacro %}
