{{ config(post_hook="{{ export_reporting(effect_key(['consumer_id'])) }}") }}

{{ effect_table('consumer_channel_effects', level_keys=['consumer_id'], level_values=['learned_share']) }}
