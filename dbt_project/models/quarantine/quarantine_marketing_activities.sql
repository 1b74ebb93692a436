{{ quarantined_rows(ref('int_marketing_activities_classified')) }}
