{{ config(post_hook="{{ export_reporting(effect_key(['segment_name', 'segment_value'])) }}") }}

-- cells of few consumers are never shown; suppressed_segments counts them
{{ effect_table(
    'segment_channel_effects',
    level_keys=['segment_name', 'segment_value'],
    level_values=['consumers_count'],
    condition='consumers_count >= ' ~ (var('segment_consumers_least') | int)
) }}
