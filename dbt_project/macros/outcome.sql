{#- What the consumer model explains, by variable `outcome`: money, or sign(y) ln(1 + |y|) of it (models/hbmmm/outcome.py). -#}
{% macro outcome_column() -%}
    {%- set columns = {'money': 'gmv_net_amount', 'log1p': 'gmv_net_log1p'} -%}
    {%- if var('outcome') not in columns -%}
        {{ exceptions.raise_compiler_error("variable outcome is '" ~ var('outcome') ~ "'; it must be money or log1p") }}
    {%- endif -%}
    {{- columns[var('outcome')] -}}
{%- endmacro %}

{% macro outcome_value(amount) -%}
    {%- if var('outcome') == 'log1p' -%}
    sign({{ amount }}::double) * ln(1.0 + abs({{ amount }}::double))
    {%- else -%}
    {{ amount }}
    {%- endif -%}
{%- endmacro %}
