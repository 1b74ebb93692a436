"""Runs whose process was killed: closed, their slots free; living ones left alone."""

import fcntl
import os
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from orchestration.following import CLI_TAG
from orchestration.reaper import is_alive, process_of, reap


@dg.job
def working():
    pass


@pytest.fixture
def instance(tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    with dg.DagsterInstance.local_temp(str(store)) as made:
        yield made


@pytest.fixture
def process():
    """A process of its own, which a test may kill."""
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield started
    started.kill()
    started.wait()


def started_run(instance, process_id, **tags):
    run = instance.create_run_for_job(working, status=dg.DagsterRunStatus.STARTED, tags=tags)
    if process_id is not None:
        instance.report_engine_event("Started process", run, EngineEventData.in_process(process_id))
    instance.event_log_storage.set_concurrency_slots("duckdb", 1)
    assert instance.event_log_storage.claim_concurrency_slot("duckdb", run.run_id, "warehouse").is_claimed
    return run


def status(instance, run):
    return instance.get_run_by_id(run.run_id).status


def test_a_killed_process_frees_its_slot_and_a_living_one_keeps_it(instance, process, tmp_path):
    run = started_run(instance, process.pid)
    assert process_of(instance, run.run_id)[0] == process.pid
    assert reap(instance, tmp_path) == []
    assert status(instance, run) == dg.DagsterRunStatus.STARTED
    process.kill()  # not waited for: what is left of it is no process
    end = time.monotonic() + 10
    while not (closed := reap(instance, tmp_path)) and time.monotonic() < end:
        time.sleep(0.05)
    assert closed == [run.run_id]
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE
    assert instance.event_log_storage.claim_concurrency_slot("duckdb", "next", "warehouse").is_claimed
    assert reap(instance, tmp_path) == []


def test_a_later_process_with_the_same_number_is_another_one(process):
    assert is_alive(process.pid, time.time())
    assert not is_alive(process.pid, time.time() - 3600)
    assert is_alive(os.getpid(), time.time())


def test_a_run_that_did_not_say_its_process_is_left_to_the_time_limits(instance, tmp_path):
    run = started_run(instance, None)
    assert reap(instance, tmp_path) == []
    assert status(instance, run) == dg.DagsterRunStatus.STARTED


def test_a_run_of_the_command_line_lives_as_long_as_its_lock(instance, tmp_path):
    run = started_run(instance, None, **{CLI_TAG: "x"})
    (tmp_path / "dagster").mkdir()
    with (tmp_path / "dagster" / "run.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert reap(instance, tmp_path) == []
    assert reap(instance, tmp_path) == [run.run_id]


def test_the_sensor_says_what_it_closed(instance, process, tmp_path, monkeypatch, manifest):
    from orchestration.sensors import REAPER_SECONDS, orphan_reaper

    monkeypatch.setenv("MEDIAMIX_HOME", str(tmp_path))
    run = started_run(instance, process.pid)
    process.kill()
    process.wait()
    said = orphan_reaper(dg.build_sensor_context(instance=instance))
    assert said.skip_message == f"closed 1: {run.run_id}"
    assert orphan_reaper.default_status == dg.DefaultSensorStatus.RUNNING
    assert orphan_reaper.minimum_interval_seconds == REAPER_SECONDS < 60
