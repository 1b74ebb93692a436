{# A value as SQL text literal that means itself, whatever it contains. #}
{% macro text_literal(value) -%}
    '{{ value | string | replace("'", "''") }}'
{%- endmacro %}

{# No columns outside the contract. #}
{% macro empty_map() -%}
    cast(map {} as map(varchar, varchar))
{%- endmacro %}
