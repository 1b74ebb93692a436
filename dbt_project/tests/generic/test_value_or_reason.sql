{# Rows with neither a number nor a reason, with both, or with a number that is none. #}
{% test value_or_reason(model) %}

select *
from {{ model }}
where
    (value is null) = (reason is null)
    or isnan(value)

{% endtest %}
