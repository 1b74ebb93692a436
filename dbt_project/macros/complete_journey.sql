{# The window of The Complete Journey: weeks 2-53 (week 1 is one day), as local dates. #}
{% macro complete_journey_first_date() -%} date '2017-01-02' {%- endmacro %}
{% macro complete_journey_last_date() -%} date '2017-12-31' {%- endmacro %}

{# End (exclusive) of the pre-period in which home markets and product affinities are fixed; equals
   int_run_parameters.pre_period_end_date, which depends on what is derived here. #}
{% macro complete_journey_pre_period_end() -%}
    {{ period_shift(period_start(complete_journey_first_date()), var('pre_periods_count')) }}
{%- endmacro %}

{# Rows of a raw table whose load the manifest knows; none while another source is active. #}
{% macro complete_journey_landed(table_name) -%}
    select landed.*
    from {{ source('complete_journey_landing', table_name) }} as landed
    inner join {{ ref('stg_landing_manifest') }} as manifest
        on
            landed.load_id = manifest.load_id
            and manifest.table_name = '{{ table_name }}'
            and {{ source_is_active('complete_journey') }}
{%- endmacro %}

{#
  Faulty rows of a raw reference table, judged by its key as in the contract: a missing part of the key, then
  duplicates (the last row decides the content, of the rows with that content the first stays).
#}
{% macro complete_journey_reference_faults(table_name, key, content) %}
with landed as (

    {{ complete_journey_landed(table_name) }}

),

-- A hash of the key finds the few rows that may be duplicates at two thirds of the time of the key itself (21 million
-- promotions); the key then decides, so that a collision does no harm.
repeated_hashes as (

    select hash({{ key | join(', ') }}) as key_hash
    from landed
    group by key_hash
    having count(*) > 1

),

contested as (

    select
        landed.*,
        row({{ content | join(', ') }}) as row_content
    from landed
    where hash({{ key | join(', ') }}) in (select repeated_hashes.key_hash from repeated_hashes)

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

judged as (

    select
        compared.*,
        case
            when row_content <> winning_content then 'conflicting_duplicate'
            when row_number() over (
                partition by {{ key | join(', ') }}, row_content
                order by load_sequence, file_name, row_number
            ) > 1 then 'exact_duplicate'
        end as reason_code
    from compared

),

incomplete as (

    select
        landed.*,
        'missing_key' as reason_code
    from landed
    where {{ key | join(' is null or ') }} is null

),

faulty as (

    select {{ (key + content) | join(', ') }}, load_id, file_name, row_number, landed_at, reason_code
    from judged
    where reason_code is not null
    union all
    select {{ (key + content) | join(', ') }}, load_id, file_name, row_number, landed_at, reason_code
    from incomplete

)

select
    reason_code,
    cast(to_json(struct_pack(
        {% for name in key + content %}
        {{ name }} := {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    )) as varchar) as row_json,
    'complete_journey_{{ table_name }}' as landed_table_name,
    load_id,
    file_name,
    row_number,
    landed_at
from faulty
{% endmacro %}

{# Accepted rows of a raw reference table. #}
{% macro complete_journey_reference_rows(table_name) -%}
    select landed.*
    from ({{ complete_journey_landed(table_name) }}) as landed
    where not exists (
        select 1
        from {{ ref('base_complete_journey__reference_faults') }} as faults
        where faults.load_id = landed.load_id and faults.row_number = landed.row_number
    )
{%- endmacro %}

{% macro complete_journey_reference_tables() %}
    {{ return({
        'products': {
            'key': ['product_id'],
            'content': ['manufacturer_id', 'department', 'brand', 'product_category', 'product_type', 'package_size'],
        },
        'campaign_descriptions': {
            'key': ['campaign_id'],
            'content': ['campaign_type', 'start_date', 'end_date'],
        },
        'promotions': {
            'key': ['product_id', 'store_id', 'week'],
            'content': ['display_location', 'mailer_location'],
        },
        'demographics': {
            'key': ['household_id'],
            'content': [
                'age', 'income', 'home_ownership', 'marital_status', 'household_size', 'household_comp', 'kids_count',
            ],
        },
    }) }}
{% endmacro %}
