"""When jobs run by themselves, as long as the daemon runs (`make ui`); stop a schedule in the UI."""

import dagster as dg

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

ALL_SCHEDULES = [full_refresh_weekly, run_robustness_monthly]
