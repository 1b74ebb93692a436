"""Runs whose process is gone, although the store says that they work: closed, their pool slots freed.

Dagster's default launcher cannot tell whether a run's process lives. Two kinds of runs are told apart: those of the
command line hold the home's lock as long as they live; a launched run has written the id of its process into its event
log. Processes are looked up on this machine, so this runs where runs run: a sensor of the code location, and ``run`` at
its start. A clock set forward by more than the slack while a run works makes its process look like a later one.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster import DefaultRunLauncher

from orchestration.following import CLI_TAG, close_orphans, fail_run
from orchestration.resources.instance import instance_dir

_WORKING = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
#: An event is written a moment after its process began, by another clock.
_SLACK_SECONDS = 15.0


def reap(instance: dg.DagsterInstance, home: Path) -> list[str]:
    """Close runs of dead processes; returns their ids."""
    closed = []
    with _lock_if_free(instance_dir(home) / "run.lock") as is_free:
        if is_free:  # no command runs in this home
            closed += close_orphans(instance)
    return closed + close_dead_runs(instance)


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Close launched runs whose process is gone. Runs of other launchers live elsewhere and watch over themselves."""
    if not isinstance(instance.run_launcher, DefaultRunLauncher):
        return []
    closed = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=list(_WORKING))):
        if CLI_TAG in run.tags:
            continue
        process = process_of(instance, run.run_id)
        if process is not None and not is_alive(*process):
            fail_run(instance, run)
            closed.append(run.run_id)
    return closed


def process_of(instance: dg.DagsterInstance, run_id: str) -> tuple[int, float] | None:
    """Id of the process that works on a run, and when it said so; None before it did."""
    page = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=50)
    for record in page.records:
        metadata = record.event_log_entry.get_dagster_event().engine_event_data.metadata
        if "pid" in metadata:
            return int(str(metadata["pid"].value)), record.timestamp
    return None


def is_alive(process_id: int, said_at: float) -> bool:
    """Whether a process of this id runs that had begun when it said so; a later one only has the same number."""
    started_at = _started_at(process_id)
    return started_at is not None and started_at <= said_at + _SLACK_SECONDS


def _started_at(process_id: int) -> float | None:
    """When a process began, in seconds since the epoch; None if there is none, or only what is left of one."""
    if not Path("/proc/stat").exists():
        return _started_at_by_ps(process_id)
    try:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    ticks = int(fields[19])
    return None if fields[0] in "ZX" else int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def _started_at_by_ps(process_id: int) -> float | None:
    """The same where there is no /proc (macOS)."""
    command = ["ps", "-o", "stat=,etime=", "-p", str(process_id)]
    fields = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if len(fields) != 2 or fields[0].startswith("Z"):
        return None
    days, _, clock = fields[1].rpartition("-")
    parts = [int(part) for part in reversed(clock.split(":"))]
    return time.time() - int(days or 0) * 86400 - sum(part * 60**power for power, part in enumerate(parts))


@contextmanager
def _lock_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock while looking, if nobody has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)
