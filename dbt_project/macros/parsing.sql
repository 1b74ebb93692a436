{# Text to value, per column kind of the contract. All give NULL where the text is no such value; none raises. #}

{# DuckDB reads '1_000' as 1000; the contract does not, so a text with an underscore is no number. #}
{% macro number_text(column) -%}
    case when not contains({{ column }}, '_') then {{ column }} end
{%- endmacro %}

{% macro parse_number(column) -%}
    try_cast({{ number_text(column) }} as double)
{%- endmacro %}

{# NaN and infinity written out (never NULL itself); a number too large for a double ('1e400') is not among them.
   `number` is parse_number() of the text, as a column. #}
{% macro is_written_not_finite(column, number) -%}
    coalesce(contains(lower({{ column }}), 'n') and not isfinite({{ number }}), false)
{%- endmacro %}

{# Whole numbers up to 9e15 (exact in a double), also written as '2.0'; NULL for anything else. #}
{% macro parse_count(number) -%}
    case when abs({{ number }}) <= 9e15 and {{ number }} = trunc({{ number }}) then cast({{ number }} as bigint) end
{%- endmacro %}

{# ISO 8601, with or without a zone; without a zone it is UTC. The result is UTC without zone. #}
{% macro parse_timestamp(column) -%}
    case
        when not regexp_matches({{ column }}, '^\d{4}-\d{2}-\d{2}') then null
        when length({{ column }}) > 10 and regexp_matches({{ column }}, '([zZ]|[+-]\d{2}(:?\d{2})?)$')
            then try_cast({{ column }} as timestamptz) at time zone 'UTC'
        else try_cast({{ column }} as timestamp)
    end
{%- endmacro %}

{# ISO date; a timestamp is a date only at midnight, since Parquet files often hold dates so. #}
{% macro parse_date(column) -%}
    case
        when
            regexp_matches({{ column }}, '^\d{4}-\d{2}-\d{2}')
            and try_cast({{ column }} as timestamp) = date_trunc('day', try_cast({{ column }} as timestamp))
            then cast(try_cast({{ column }} as timestamp) as date)
    end
{%- endmacro %}

{% macro parse_json_list(column) -%}
    case when json_type(try_cast({{ column }} as json)) = 'ARRAY' then {{ column }} end
{%- endmacro %}

{# Kinds whose text is read as a number first. #}
{% macro is_numeric_kind(kind) %}
    {{ return(kind in ('money', 'number', 'count')) }}
{% endmacro %}

{# Value of a landed text column by its kind; `number` is the column that holds parse_number() of the text. #}
{% macro parse(kind, column, number) -%}
    {%- if kind == 'string' -%} {{ column }}
    {%- elif kind == 'money' -%} try_cast({{ number_text(column) }} as decimal(18, 4))
    {%- elif kind == 'number' -%} {{ number }}
    {%- elif kind == 'count' -%} {{ parse_count(number) }}
    {%- elif kind == 'boolean' -%} try_cast({{ column }} as boolean)
    {%- elif kind == 'date' -%} {{ parse_date(column) }}
    {%- elif kind == 'timestamp' -%} {{ parse_timestamp(column) }}
    {%- elif kind == 'json' -%} {{ parse_json_list(column) }}
    {%- else -%} {{ exceptions.raise_compiler_error("column kind '" ~ kind ~ "' has no parser in macros/parsing.sql") }}
    {%- endif -%}
{%- endmacro %}

{# Whether a landed text is no value of its kind. NaN, infinity and fractions have reason codes of their own. #}
{% macro is_bad_type(kind, raw_column, column, number) -%}
    {%- if kind == 'string' -%} false
    {%- elif kind == 'money' -%}
        ({{ raw_column }} is not null and {{ column }} is null and not {{ is_written_not_finite(raw_column, number) }})
    {%- elif kind == 'number' -%}
        ({{ raw_column }} is not null and not coalesce(isfinite({{ number }}), false) and not {{ is_written_not_finite(raw_column, number) }})
    {%- elif kind == 'count' -%}
        ({{ raw_column }} is not null and coalesce(abs({{ number }}) > 9e15, true) and not {{ is_written_not_finite(raw_column, number) }})
    {%- else -%} ({{ raw_column }} is not null and {{ column }} is null)
    {%- endif -%}
{%- endmacro %}
