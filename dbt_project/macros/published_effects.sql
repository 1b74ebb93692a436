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
