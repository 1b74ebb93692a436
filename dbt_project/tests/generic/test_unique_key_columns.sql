{# Rows whose key occurs more than once. NULL counts as a value, so that optional key columns are covered. #}
{% test unique_key_columns(model, column_names) %}

select
    {{ column_names | join(', ') }},
    count(*) as rows_count
from {{ model }}
group by {{ column_names | join(', ') }}
having count(*) > 1

{% endtest %}
