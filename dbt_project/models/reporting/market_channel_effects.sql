{{ config(post_hook="{{ export_reporting(effect_key(['market_id'])) }}") }}

{{ effect_table('market_channel_effects', level_keys=['market_id']) }}
