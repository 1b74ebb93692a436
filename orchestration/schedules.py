"""When jobs run by themselves, as long as the daemon runs (`make ui`), and how old what they make may become.

Stop a schedule in the UI. Freshness is shown there, and by the daemon's events; it starts nothing.
"""

import datetime as dt

import dagster as dg

from assets import keys
from orchestration.jobs import full_refresh, run_robustness

full_refresh_weekly = dg.ScheduleDefinition(
    name="full_refresh_weekly",
    job=full_refresh,
    cron_schedule="0 4 * * 1",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Mondays 04:00 UTC: the week that ended on Sunday.",
)
run_robustness_monthly = dg.ScheduleDefinition(
    name="run_robustness_monthly",
    job=run_robustness,
    cron_schedule="0 6 2 * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="On the second of a month, 06:00 UTC.",
)

#: A weekly refresh that was late by a day warns, by two it fails.
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(days=9), warn_window=dt.timedelta(days=8))
_FRESH_GROUPS = (keys.MARTS, keys.EFFECTS, keys.REPORTING)


def with_freshness(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset with the freshness policy of the weekly refresh, if people or fits read it."""
    if spec.group_name not in _FRESH_GROUPS:
        return spec
    return spec.replace_attributes(freshness_policy=FRESHNESS)


ALL_SCHEDULES = [full_refresh_weekly, run_robustness_monthly]
