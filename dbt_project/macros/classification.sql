{#
  Every staged row of a contract table, typed, under the first reason code that applies (NULL = accepted).
  Order and meaning of the codes: docs block `reason_code`; they are judged in the order of reason_codes().
#}
{% macro reason_codes() %}
    {{ return([
        'missing_key', 'missing_value', 'bad_type', 'not_finite', 'negative_amount', 'sign_conflict', 'invalid_count',
        'unknown_consumer', 'unknown_market', 'unknown_channel', 'out_of_range_date', 'future_date',
        'misaligned_period', 'wrong_currency', 'exact_duplicate', 'conflicting_duplicate', 'out_of_scope',
    ]) }}
{% endmacro %}

{# Landed text, and the number it holds where its kind is numeric. #}
{% macro raw_columns(table_name) %}
    {% for name, kind, is_nullable in contract_table(table_name)['columns'] %}
        staged.{{ name }} as raw_{{ name }},
        {% if is_numeric_kind(kind) %}
        {{ parse_number('staged.' ~ name) }} as number_{{ name }},
        {% endif %}
    {% endfor %}
{% endmacro %}

{% macro typed_columns(table_name) %}
    {% for name, kind, is_nullable in contract_table(table_name)['columns'] %}
        {{ parse(kind, 'raw_' ~ name, 'number_' ~ name) }} as {{ name }},
    {% endfor %}
{% endmacro %}

{# Key columns whose absence is missing_key: the key without its nullable parts. #}
{% macro required_key_columns(table_name) %}
    {% set contract = contract_table(table_name) %}
    {% set names = [] %}
    {% for name, kind, is_nullable in contract['columns'] if name in contract['key'] and not is_nullable %}
        {% do names.append(name) %}
    {% endfor %}
    {{ return(names) }}
{% endmacro %}

{% macro any_of(conditions) -%}
    ({{ conditions | join(' or ') if conditions else 'false' }})
{%- endmacro %}

{# Conditions that follow from the contract alone. #}
{% macro contract_rules(table_name, open_columns_are_numeric) %}
    {% set contract = contract_table(table_name) %}
    {% set keys = required_key_columns(table_name) %}
    {% set rules = {'missing_key': [], 'missing_value': [], 'bad_type': [], 'not_finite': [], 'invalid_count': []} %}
    {% for name, kind, is_nullable in contract['columns'] %}
        {% if name in keys %}
            {% do rules['missing_key'].append('raw_' ~ name ~ ' is null') %}
        {% elif not is_nullable %}
            {% do rules['missing_value'].append('raw_' ~ name ~ ' is null') %}
        {% endif %}
        {% if kind != 'string' %}
            {% do rules['bad_type'].append(is_bad_type(kind, 'raw_' ~ name, name, 'number_' ~ name)) %}
        {% endif %}
        {% if kind in ('money', 'number', 'count') %}
            {% do rules['not_finite'].append(is_written_not_finite('raw_' ~ name, 'number_' ~ name)) %}
        {% endif %}
        {% if kind == 'count' %}
            {% do rules['invalid_count'].append('(raw_' ~ name ~ ' is not null and ' ~ name ~ ' is null)') %}
        {% endif %}
    {% endfor %}
    {% if open_columns_are_numeric %}
        {% do rules['bad_type'].append('has_open_bad_type') %}
        {% do rules['not_finite'].append('has_open_not_finite') %}
    {% endif %}
    {{ return(rules) }}
{% endmacro %}

{#
  table_name: table of the contract.
  staged: relation of its staged rows.
  derived_columns: [[expression over typed columns, name], ...] added to the table.
  rules: reason code -> condition over typed columns, beside those that follow from the contract.
  open_columns_are_numeric: columns outside the contract must hold numbers (covariates, KPIs, mediators).
#}
{% macro classified_rows(table_name, staged, rules, derived_columns=[], open_columns_are_numeric=false) %}
{% set contract = contract_table(table_name) %}
{% set general_rules = contract_rules(table_name, open_columns_are_numeric) %}
with staged as (

    select * from {{ staged }}

),

landed as (

    select
        {{ raw_columns(table_name) }}
        staged.extra_columns,
        staged.scope_reason_code,
        staged.load_id,
        staged.load_sequence,
        staged.file_name,
        staged.row_number,
        staged.landed_at,
        staged.landed_table_name
    from staged

),

typed as (

    select
        {{ typed_columns(table_name) }}
        {% if open_columns_are_numeric %}
        coalesce(list_bool_or([
            not coalesce(isfinite({{ parse_number('field') }}), false)
            and not {{ is_written_not_finite('field', parse_number('field')) }}
            for field in map_values(extra_columns) if field is not null
        ]), false) as has_open_bad_type,
        coalesce(list_bool_or([
            {{ is_written_not_finite('field', parse_number('field')) }}
            for field in map_values(extra_columns) if field is not null
        ]), false) as has_open_not_finite,
        {% endif %}
        landed.*
    from landed

),

derived as (

    select
        typed.*
        {% for expression, name in derived_columns %}
        , {{ expression }} as {{ name }}
        {% endfor %}
    from typed

),

checked as (

    select
        derived.*,
        case
            {% for code in reason_codes() if code not in ('exact_duplicate', 'conflicting_duplicate', 'out_of_scope') %}
            {% set conditions = general_rules.get(code, []) + ([rules[code]] if code in rules else []) %}
            {% if code == 'out_of_range_date' %}
                {% do conditions.append("scope_reason_code = 'out_of_range_date'") %}
            {% endif %}
            {% if conditions %}
            when {{ any_of(conditions) }} then '{{ code }}'
            {% endif %}
            {% endfor %}
        end as first_fault
    from derived

),

{{ duplicate_ctes(table_name) }},

final as (

    select
        {% for name, kind, is_nullable in contract['columns'] %}
        checked.{{ name }},
        {% endfor %}
        {% for expression, name in derived_columns %}
        checked.{{ name }},
        {% endfor %}
        checked.extra_columns,
        coalesce(checked.first_fault, duplicates.duplicate_code, checked.scope_reason_code) as reason_code,
        case
            when coalesce(checked.first_fault, duplicates.duplicate_code, checked.scope_reason_code) is not null
                then cast(to_json(struct_pack(
                    {% for name, kind, is_nullable in contract['columns'] %}
                    {{ name }} := checked.raw_{{ name }},
                    {% endfor %}
                    extra_columns := checked.extra_columns
                )) as varchar)
        end as row_json,
        checked.load_id,
        checked.file_name,
        checked.row_number,
        checked.landed_at,
        checked.landed_table_name
    from checked
    left join duplicates
        on checked.load_id = duplicates.load_id and checked.row_number = duplicates.row_number

)

select * from final
{% endmacro %}

{#
  Duplicates among the rows of CTE `checked` without another fault, so that nothing cascades.
  The last row of a key (load, file, row) decides which content holds; of the rows with that content the first stays.
  Rows with another content are conflicting_duplicate, further copies exact_duplicate (DuckDB compares rows with NULLs
  inside as a whole: NULL equals NULL there). Derived rows (no load) are unique by construction and take no part.
#}
{% macro duplicate_ctes(table_name) %}
{% set contract = contract_table(table_name) %}
{% set key = contract['key'] %}
duplicate_keys as (

    select {{ key | join(', ') }}
    from checked
    where first_fault is null and load_id is not null
    group by {{ key | join(', ') }}
    having count(*) > 1

),

contested as (

    select
        checked.load_id,
        checked.load_sequence,
        checked.file_name,
        checked.row_number,
        {% for name in key %}
        checked.{{ name }},
        {% endfor %}
        row(
            {% for name, kind, is_nullable in contract['columns'] if name not in key %}
            checked.{{ name }},
            {% endfor %}
            {% if contract['is_open'] %}
            list_sort([entry for entry in map_entries(checked.extra_columns) if entry.value is not null]),
            {% endif %}
            null
        ) as row_content
    from checked
    inner join duplicate_keys
        on
        {% for name in key %}
        checked.{{ name }} is not distinct from duplicate_keys.{{ name }}{{ ' and' if not loop.last }}
        {% endfor %}
    where checked.first_fault is null and checked.load_id is not null

),

compared as (

    select
        contested.*,
        last_value(row_content) over (
            partition by {{ key | join(', ') }}
            order by load_sequence, file_name, row_number
            rows between unbounded preceding and unbounded following
        ) as winning_content
    from contested

),

duplicates as (

    select
        load_id,
        row_number,
        case
            when row_content <> winning_content then 'conflicting_duplicate'
            when row_number() over (
                partition by {{ key | join(', ') }}, row_content
                order by load_sequence, file_name, row_number
            ) > 1 then 'exact_duplicate'
        end as duplicate_code
    from compared

)
{% endmacro %}

{# Accepted rows of a classified table: its typed columns and where each row came from. #}
{% macro accepted_rows(classified, columns) %}
select
    {% for name in columns %}
    {{ name }},
    {% endfor %}
    load_id,
    file_name,
    row_number
from {{ classified }}
where reason_code is null
{% endmacro %}

{# Open columns (covariates, mediators) as rows; a column without a value has no row. #}
{% macro accepted_open_columns(classified, key_columns, name_column, value_column) %}
with classified as (

    select
        {% for name in key_columns %}
        {{ name }},
        {% endfor %}
        unnest(map_entries(extra_columns)) as entry,
        load_id,
        file_name,
        row_number
    from {{ classified }}
    where reason_code is null

)

select
    {% for name in key_columns %}
    {{ name }},
    {% endfor %}
    entry.key as {{ name_column }},
    {{ parse_number('entry.value') }} as {{ value_column }},
    load_id,
    file_name,
    row_number
from classified
where entry.value is not null
{% endmacro %}

{# Quarantined rows of a classified table, as they were landed. #}
{% macro quarantined_rows(classified) %}
select
    reason_code,
    row_json,
    landed_table_name,
    load_id,
    file_name,
    row_number,
    landed_at
from {{ classified }}
where reason_code is not null
{% endmacro %}
