{{ quarantined_rows(ref('int_channels_classified')) }}
