{#
    Exports for readers outside the warehouse. A file is written to a temporary name and renamed by DuckDB
    (use_tmp_file), rows ordered by key, so that the same rows give the same bytes at any thread count.
    Use them as post-hooks: they run once the table of the model stands.
#}

{% macro export_folder(path) %}
    {#- DuckDB cannot create a folder by itself; writing an empty per-thread file into it
        does. The file bears the model's name, because two threads may do this in one folder at once. -#}
    copy (select 1 as nothing where false) to '{{ path | replace("'", "''") }}' (
        format csv, header false, per_thread_output true,
        filename_pattern '.keep_{{ this.identifier }}', file_extension 'txt', overwrite_or_ignore true
    )
{% endmacro %}

{% macro export_file(folders, file_name, order_by) %}
    {#- Create `folders` in order, then write the model's table to `file_name` in the last of them. -#}
    {% for folder in folders %}
        {% do run_query(export_folder(folder)) %}
    {% endfor %}
    copy (select * from {{ this }} order by {{ order_by | join(', ') }})
    to '{{ (folders[-1] ~ "/" ~ file_name) | replace("'", "''") }}' (
        format parquet, compression zstd, use_tmp_file true, preserve_order true
    )
{% endmacro %}

{% macro export_mart(order_by) %}
    {#- <home>/marts/<name>/as_of_date=<date>/<name>.parquet -#}
    {%- set parameters = ref('int_run_parameters') -%}
    {%- if execute -%}
        {%- set as_of_date = run_query('select as_of_date::varchar as as_of_date from ' ~ parameters).columns[0][0] -%}
        {%- if as_of_date is none -%}
            {{ exceptions.raise_compiler_error(
                'int_run_parameters has no as_of_date, so ' ~ this.identifier ~ ' has no folder to be exported to: '
                'no table has an accepted dated row. Look at reporting.data_quality for the reasons.'
            ) }}
        {%- endif -%}
        {%- set marts = env_var('MEDIAMIX_HOME', '.mediamix') ~ '/marts' -%}
        {%- set mart = marts ~ '/' ~ this.identifier -%}
        {{ export_file([marts, mart, mart ~ '/as_of_date=' ~ as_of_date], this.identifier ~ '.parquet', order_by) }}
    {%- endif -%}
{% endmacro %}

{% macro export_current_refresh() %}
    {#- <home>/marts/current_refresh.parquet: one row that names the refresh the other files belong to. -#}
    {%- if execute -%}
        {{ export_file([env_var('MEDIAMIX_HOME', '.mediamix') ~ '/marts'], this.identifier ~ '.parquet', ['as_of_date']) }}
    {%- endif -%}
{% endmacro %}

{% macro export_reporting(order_by) %}
    {#- <home>/artefacts/reporting/<name>.parquet -#}
    {%- if execute -%}
        {%- set artefacts = env_var('MEDIAMIX_HOME', '.mediamix') ~ '/artefacts' -%}
        {{ export_file([artefacts, artefacts ~ '/reporting'], this.identifier ~ '.parquet', order_by) }}
    {%- endif -%}
{% endmacro %}
