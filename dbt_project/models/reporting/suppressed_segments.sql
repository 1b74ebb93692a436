{{ config(post_hook="{{ export_reporting(['as_of_date', 'segment_name']) }}") }}

-- How many cells segment_channel_effects leaves out because too few consumers stand behind them, and nothing else
with segments as (

    {{ published_effects('segment_channel_effects') }}

),

final as (

    select
        as_of_date,
        segment_name,
        {{ var('segment_consumers_least') | int }}::bigint as consumers_least,
        count(distinct segment_value) as cells_count,
        count(*) as rows_count
    from segments
    where (consumers_count >= {{ var('segment_consumers_least') | int }}) is not true
    group by as_of_date, segment_name

)

select * from final
order by as_of_date, segment_name
