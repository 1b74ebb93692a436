{% macro published_effects(table_name) %}
    {#-
        Rows of an effect artefact that may be read. A model that has been at the gate is read only in the version
        that was champion at the date of the row (its latest decision up to then); methods that are not registered
        pass as they are.
    -#}
    select effects.*
    from {{ source('artefacts', table_name) }} as effects
    asof left join (
        select
            as_of_date,
            model_name,
            max_by(
                case when decision != 'no_champion' then model_version end, try_cast(model_version as bigint)
            ) as model_version
        from {{ source('artefacts', 'champions') }}
        group by as_of_date, model_name
    ) as champions
        on
            effects.model_name = champions.model_name
            and effects.as_of_date >= champions.as_of_date
    left join (select distinct model_name from {{ source('artefacts', 'champions') }}) as gated
        on effects.model_name = gated.model_name
    where
        gated.model_name is null
        or effects.model_version = champions.model_version
{% endmacro %}


{% macro effect_key(level_keys=[]) %}
    {#- Key of an effect table, in the order of its rows: date and channel, the table's own keys, then the estimand. -#}
    {{ return(
        ['as_of_date', 'channel_id'] + level_keys
        + ['estimand', 'method', 'model_name', 'kpi', 'horizon', 'exposure_distribution']
    ) }}
{% endmacro %}


{% macro effect_table(table_name, level_keys=[], level_values=[], condition=none) %}
    {#- One reporting table of effects: key, the level's own columns, then what every effect row says. -#}
    {%- set values = [
        'mean', 'standard_deviation', 'interval_lower', 'interval_upper', 'interval_level', 'probability_positive',
        'unit', 'is_primary', 'is_identified', 'not_identified_reason', 'r_hat', 'ess', 'k_hat', 'model_version',
        'data_version', 'error_ratio'
    ] -%}
    select {{ (effect_key(level_keys) + level_values + values) | join(', ') }}
    from ({{ published_effects(table_name) }}) as published
    {%- if condition is not none %}
    where {{ condition }}
    {%- endif %}
    order by {{ effect_key(level_keys) | join(', ') }}
{% endmacro %}
