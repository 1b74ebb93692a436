"""Follow a Dagster run from outside and say in a few lines what it does.

Reads the event log and the progress files of long steps; it never touches the run itself.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.resources.progress import read_progress

CLI_TAG = "mediamix/cli"
_IN_PROGRESS = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@dataclass
class StepFailure:
    """The step that failed and what its error says."""

    step: str
    message: str


@dataclass
class RunFollower:
    """Turns events of one run into lines. ``poll`` prints what is new; ``failures`` collects errors."""

    instance: dg.DagsterInstance
    home: Path
    say: Callable[[str], None]
    heartbeat_seconds: float = 15.0
    failures: list[StepFailure] = field(default_factory=list)
    checks_not_passed: list[str] = field(default_factory=list)
    run_id: str | None = None
    _cursor: str | None = None
    _steps: int = 0
    _finished: int = 0
    _running: dict[str, float] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _begun: float = field(default_factory=time.time)
    _last_line: float = field(default_factory=time.time)

    def find_run(self, key: str) -> bool:
        """Look for the run that the child tagged with ``key``; True once it exists."""
        if self.run_id is None:
            runs = self.instance.get_runs(filters=dg.RunsFilter(tags={CLI_TAG: key}), limit=1)
            if runs:
                self.run_id = runs[0].run_id
        return self.run_id is not None

    def poll(self) -> None:
        """Print lines for the events since the last call, and a heartbeat if nothing was said for a while."""
        if self.run_id is None:
            return
        while True:
            page = self.instance.get_records_for_run(self.run_id, cursor=self._cursor, limit=500)
            self._cursor = page.cursor
            for record in page.records:
                if record.event_log_entry.is_dagster_event:
                    self._tell(record.event_log_entry.get_dagster_event())
            if not page.has_more:
                break
        self._beat()

    def _tell(self, event: Any) -> None:
        kind, step = event.event_type, event.step_key or ""
        if kind == dg.DagsterEventType.PIPELINE_START and not self._steps:
            plan = self.instance.get_execution_plan_snapshot(
                self.instance.get_run_by_id(self.run_id).execution_plan_snapshot_id
            )
            self._steps = len(plan.step_keys_to_execute)
        elif kind == dg.DagsterEventType.STEP_START:
            self._running[step] = time.time()
            self._line(f"{step} ...")
        elif kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
            self._counts[step] = self._counts.get(step, 0) + 1
        elif kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed:
                self.checks_not_passed.append(_check_line(evaluation))
        elif kind == dg.DagsterEventType.STEP_SUCCESS:
            self._finished += 1
            self._running.pop(step, None)
            seconds = event.event_specific_data.duration_ms / 1000
            self._line(f"{step} done in {seconds:.1f} s, {_plural(self._counts.get(step, 0), 'asset')}")
        elif kind == dg.DagsterEventType.STEP_UP_FOR_RETRY:
            self._running.pop(step, None)
            self._line(f"{step} failed and is tried once more: {_message(event.event_specific_data)[:300]}")
        elif kind == dg.DagsterEventType.STEP_FAILURE:
            self._finished += 1
            self._running.pop(step, None)
            self.failures.append(StepFailure(step, _message(event.step_failure_data)))
            self._line(f"{step} FAILED")

    def _beat(self) -> None:
        now = time.time()
        if now - self._last_line < self.heartbeat_seconds or not self._running:
            return
        reports = {record.step: record for record in read_progress(self.home, since=self._last_line)}
        for step, since in self._running.items():
            record = reports.get(step)
            text = record.describe() if record else "running"
            self._line(f"{step}: {text} ({now - since:.0f} s so far)")

    def _line(self, text: str) -> None:
        elapsed = int(time.time() - self._begun)
        share = f"{100 * self._finished / self._steps:3.0f} %" if self._steps else "     "
        self.say(f"[{elapsed // 60:02d}:{elapsed % 60:02d} {share}] {text}")
        self._last_line = time.time()


def runs_of_others(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs in progress that the command line did not start: a schedule did, or somebody in the UI."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=list(_IN_PROGRESS)))
    return [run for run in runs if CLI_TAG not in run.tags]


def close_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Fail runs of the command line whose process is gone, and free their pool slots. The caller holds the lock."""
    closed = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=list(_IN_PROGRESS))):
        if CLI_TAG not in run.tags:
            continue
        fail_run(instance, run)
        closed.append(run.run_id)
    return closed


def fail_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Close a run whose process is gone, and free its pool slots."""
    instance.report_run_failed(run, "Its process ended without a word (killed, or the machine went down).")
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _message(failure: Any) -> str:
    """What the user should read: the description of a dg.Failure, else the error below Dagster's wrapping."""
    user = getattr(failure, "user_failure_data", None)
    if user is not None and user.description:
        return str(user.description).strip()
    error = failure.error
    if error is None:
        return "no error was recorded"
    while error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    return error.message.strip()


def _check_line(evaluation: Any) -> str:
    outcome = evaluation.metadata.get("outcome")
    shown = str(outcome.value).replace("_", " ") if outcome is not None else "failed"
    text = f": {evaluation.description}" if evaluation.description else ""
    return f"{'/'.join(evaluation.asset_key.path)} {evaluation.check_name}: {shown}{text}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
