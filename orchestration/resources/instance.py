"""Dagster's own store of a home: ``<home>/dagster`` with a ``dagster.yaml`` that survives crashes.

A crashed host must not block the next run (conventions T1): runs are monitored and bounded in time. The one
writer of the DuckDB file is a pool of size 1, counted per step.
"""

import os
from pathlib import Path

MAX_RUNTIME_SECONDS = 4 * 3600

DAGSTER_YAML = f"""\
# Written by mediamix at the start of every run; edits are overwritten.
telemetry:
  enabled: false
nux:
  enabled: false
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  # The default launcher cannot tell whether a run's process still lives: without a bound, a crashed host
  # would hold its pool slot for ever.
  max_runtime_seconds: {MAX_RUNTIME_SECONDS}
  free_slots_after_run_end_seconds: 60
run_retries:
  enabled: true
  max_retries: 1
concurrency:
  pools:
    default_limit: 1
    granularity: op
  runs:
    max_concurrent_runs: 1
"""


def instance_dir(home: Path) -> Path:
    """Folder of Dagster's run store; the value of DAGSTER_HOME."""
    return home / "dagster"


def prepare_instance(home: Path) -> Path:
    """Write dagster.yaml and point this process (and its children) at the store. Returns the folder."""
    folder = instance_dir(home)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dagster.yaml"
    if not path.exists() or path.read_text(encoding="utf-8") != DAGSTER_YAML:
        temporary = path.with_name(f".dagster.yaml.{os.getpid()}.tmp")
        temporary.write_text(DAGSTER_YAML, encoding="utf-8")
        temporary.replace(path)
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ["MEDIAMIX_HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    return folder
