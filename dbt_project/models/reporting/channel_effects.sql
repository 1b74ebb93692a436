{{ config(post_hook="{{ export_reporting(effect_key()) }}") }}

{{ effect_table('channel_effects', level_values=['robustness_value']) }}
