{% macro period_last_date(period_start_date, period) %}
    {#- Last day of the period that starts on `period_start_date`; `period` is a column or literal. -#}
    case {{ period }}
        when 'day' then {{ period_start_date }}
        when 'week' then {{ period_start_date }} + 6
        else last_day({{ period_start_date }})
    end
{% endmacro %}
