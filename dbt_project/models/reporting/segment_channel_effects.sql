{{ config(post_hook="{{ export_reporting(effect_key(['segment_name', 'segment_value'])) }}") }}

-- cells of fewer than 10 consumers are never shown
{{ effect_table(
    'segment_channel_effects',
    level_keys=['segment_name', 'segment_value'],
    level_values=['consumers_count'],
    condition='consumers_count >= 10'
) }}
