-- A row here means that a mart holds something that starts after the last day the run may see.
{% set marts = [
    'consumer_periods', 'consumer_channel_periods', 'market_periods', 'market_channel_periods',
    'market_covariate_periods',
] %}
{% for mart in marts %}
    select
        '{{ mart }}' as mart_name,
        marts.period_start_date
    from {{ ref(mart) }} as marts
    inner join {{ ref('int_run_parameters') }} as run_parameters on marts.period_start_date > run_parameters.as_of_date
    {% if not loop.last %}union all{% endif %}
{% endfor %}
