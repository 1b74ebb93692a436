{# Model time: periods of the deployment (day, week or month). Dates are local dates, see local_date(). #}

{# First day of the period that holds a date. Weeks start on var('week_start'), an ISO weekday. #}
{% macro period_start(date_expression) -%}
    {%- if var('period') == 'day' -%}
        cast({{ date_expression }} as date)
    {%- elif var('period') == 'week' -%}
        cast({{ date_expression }} - cast((isodow({{ date_expression }}) - {{ var('week_start') | int }} + 7) % 7 as integer) as date)
    {%- elif var('period') == 'month' -%}
        cast(date_trunc('month', {{ date_expression }}) as date)
    {%- else -%}
        {{ exceptions.raise_compiler_error("var period is '" ~ var('period') ~ "', which is no period; use day, week or month") }}
    {%- endif -%}
{%- endmacro %}

{# A date `count` periods after (before, if negative) another one; `count` may be a number or a column. #}
{% macro period_shift(date_expression, count) -%}
    {%- if var('period') == 'day' -%}
        cast({{ date_expression }} + cast({{ count }} as integer) as date)
    {%- elif var('period') == 'week' -%}
        cast({{ date_expression }} + cast(7 * {{ count }} as integer) as date)
    {%- elif var('period') == 'month' -%}
        cast({{ date_expression }} + to_months(cast({{ count }} as integer)) as date)
    {%- else -%}
        {{ exceptions.raise_compiler_error("var period is '" ~ var('period') ~ "', which is no period; use day, week or month") }}
    {%- endif -%}
{%- endmacro %}

{# Date in the deployment's time zone of a moment stored in UTC without zone. #}
{% macro local_date(timestamp_expression) -%}
    {%- if var('timezone') == 'UTC' -%}
        cast({{ timestamp_expression }} as date)
    {%- else -%}
        cast({{ timestamp_expression }} at time zone 'UTC' at time zone {{ text_literal(var('timezone')) }} as date)
    {%- endif -%}
{%- endmacro %}

{# Moment in UTC at which a local date begins. #}
{% macro utc_midnight(date_expression) -%}
    (cast({{ date_expression }} as timestamp) at time zone {{ text_literal(var('timezone')) }} at time zone 'UTC')
{%- endmacro %}
