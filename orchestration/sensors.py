"""What the daemon watches between schedules: dead runs, failed runs, and new files in the inbox."""

import dagster as dg

from orchestration.jobs import full_refresh
from orchestration.resources.alerts import send_alert
from orchestration.resources.settings import Settings, load_settings

REAPER_SECONDS = 20
INBOX_SECONDS = 60
#: A file that changed later may still be on its way.
SETTLED_SECONDS = 30


@dg.sensor(
    name="orphan_reaper",
    minimum_interval_seconds=REAPER_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Closes runs whose process is gone, so that their pool slots are free within a minute.",
)
def orphan_reaper(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Never asks for a run: Dagster retries what was closed."""
    from orchestration.reaper import reap

    settings = load_settings()
    closed = reap(context.instance, settings.home)
    for run_id in closed:
        context.log.warning(f"closed run {run_id}, whose process is gone")
    return dg.SkipReason(
        f"closed {len(closed)}: {', '.join(closed)}" if closed else "every run's process lives"
    )


@dg.run_failure_sensor(
    name="alert_on_run_failure",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says in the log, and to alert_webhook_url, which run failed and why.",
)
def alert_on_run_failure(context: dg.RunFailureSensorContext) -> None:
    """One alert a failed run, retries included."""
    run = context.dagster_run
    text = f"mediamix: run {run.run_id} of job {run.job_name} failed: {context.failure_event.message}"
    outcome = send_alert(load_settings(), text, run_id=run.run_id, job=run.job_name, kind="run_failed")
    context.log.info(f"alert: {outcome}")


@dg.sensor(
    name="full_refresh_on_inbox",
    job=full_refresh,
    minimum_interval_seconds=INBOX_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs full_refresh once files of the inbox have changed and then stood still for half a minute.",
)
def full_refresh_on_inbox(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """The cursor is the listing that was last acted upon; what a run landed meanwhile is known by name."""
    settings = load_settings()
    if settings.source_folder is None:
        return dg.SkipReason(f"the source is {settings.source_name}, which has no inbox")
    listing, newest = inbox_listing(settings)
    if not listing or listing == context.cursor:
        return dg.SkipReason("nothing new in the inbox")
    import time

    if time.time() - newest < SETTLED_SECONDS:
        return dg.SkipReason("files of the inbox changed a moment ago; waiting until they stand still")
    if context.cursor is None and _all_landed(settings):
        return dg.SensorResult(skip_reason="the inbox was landed before", cursor=listing)
    request = dg.RunRequest(run_key=f"inbox-{listing}")
    return dg.SensorResult(run_requests=[request], cursor=listing)


def inbox_listing(settings: Settings) -> tuple[str, float]:
    """Hash of names, sizes and times of the inbox's files, and the newest time; ('', 0) for an empty inbox."""
    import hashlib

    paths = (
        sorted(path for path in settings.inbox_dir.rglob("*") if path.is_file())
        if settings.inbox_dir.is_dir()
        else []
    )
    stats = [(path, path.stat()) for path in paths]
    if not stats:
        return "", 0.0
    lines = [
        f"{path.relative_to(settings.inbox_dir)}\0{stat.st_size}\0{stat.st_mtime_ns}" for path, stat in stats
    ]
    digest = hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]
    return digest, max(stat.st_mtime for _, stat in stats)


def _all_landed(settings: Settings) -> bool:
    """Whether every table file of the inbox bears a name that was landed."""
    from assets.landing.manifest import read_manifest
    from assets.landing.sources.canonical import find_files

    known = {load.file_name for load in read_manifest(settings.landing_dir, "canonical")}
    return {item.file_name for item in find_files(settings.inbox_dir, prefix="inbox/")[0]} <= known


ALL_SENSORS = [orphan_reaper, alert_on_run_failure, full_refresh_on_inbox]
