{# Rows whose interval does not hold their mean, or where one of the three is missing and another is not. #}
{% test interval_holds_mean(model) %}

select *
from {{ model }}
where
    not (interval_lower <= mean and mean <= interval_upper)
    or (mean is null) != (interval_lower is null)
    or (mean is null) != (interval_upper is null)
    or isnan(mean)
    or isnan(interval_lower)
    or isnan(interval_upper)

{% endtest %}
