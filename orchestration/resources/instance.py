"""Dagster's own store of a home: ``<home>/dagster`` with a ``dagster.yaml`` that survives crashes.

A crashed host must not block the next run (conventions T1): runs are monitored and bounded in time. The one
writer of the DuckDB file is a pool of size 1, counted per step. Runs, events and schedules lie in SQLite below the
folder, or in PostgreSQL where ``dagster_storage_uri`` says so; the file then names the variable, never the password.
"""

import fcntl
import importlib.util
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.resources.settings import Settings
from orchestration.resources.stores import masked

if TYPE_CHECKING:
    import dagster as dg

MAX_RUNTIME_SECONDS = 4 * 3600
STORAGE_VARIABLE = "MEDIAMIX_DAGSTER_STORAGE_URI"
_OWNER_KEY = "mediamix/home"
#: The pool of every step that opens warehouse.duckdb: one writer, one opener.
DUCKDB_POOL = "duckdb"

_COMMON_YAML = f"""\
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
_POSTGRES_YAML = f"""\
storage:
  postgres:
    postgres_url:
      env: {STORAGE_VARIABLE}
"""


class StoreError(RuntimeError):
    """Dagster's store cannot be used; the message says what to do."""


def dagster_yaml(settings: Settings) -> str:
    """Text of ``dagster.yaml``: one machine (SQLite), or a server (PostgreSQL)."""
    return _COMMON_YAML + (_POSTGRES_YAML if settings.dagster_storage_uri else "")


def instance_dir(home: Path) -> Path:
    """Folder of Dagster's run store; the value of DAGSTER_HOME."""
    return home / "dagster"


def prepare_instance(settings: Settings) -> Path:
    """Write dagster.yaml and point this process (and its children) at the store. Returns the folder."""
    if settings.dagster_storage_uri and importlib.util.find_spec("dagster_postgres") is None:
        raise StoreError(
            f"dagster_storage_uri is {masked(settings.dagster_storage_uri)}, and dagster-postgres is not installed. "
            "Install it: pip install -c requirements.lock -e '.[postgres]'."
        )
    folder = instance_dir(settings.home)
    _write(folder / "dagster.yaml", dagster_yaml(settings))
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ["MEDIAMIX_HOME"] = str(settings.home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    if settings.dagster_storage_uri:
        os.environ[STORAGE_VARIABLE] = (
            settings.dagster_storage_uri
        )  # with its driver, and from mediamix.toml too
    return folder


def claim_store(instance: "dg.DagsterInstance", settings: Settings) -> None:
    """Refuse a PostgreSQL store in which another home keeps its runs: runs, pools and asset keys are global in a store.

    The first home that uses an empty store owns it. A home keeps its identity when its folder is moved.
    """
    if not settings.dagster_storage_uri:
        return
    path = instance_dir(settings.home) / "home_id"
    if not path.exists():
        _write(path, uuid.uuid4().hex + "\n")
    mine = path.read_text(encoding="utf-8").strip()
    storage = instance.run_storage
    owner = storage.get_cursor_values({_OWNER_KEY}).get(_OWNER_KEY)
    if owner is None:
        storage.set_cursor_values({_OWNER_KEY: mine})
    elif owner != mine:
        raise StoreError(
            f"{masked(settings.dagster_storage_uri)} keeps the runs of another home (its id is {owner}; {path} says "
            f"{mine}), and two homes would end each other's runs. Give this home a database of its own; if that home "
            f"was restored here under a new id, write {owner} into {path}."
        )


def claim_own_store(settings: Settings) -> None:
    """Make the tables, one process of the home at a time (two at once trip over each other), and ``claim_store``.

    The pool gets its limit here: on PostgreSQL, two steps that initialise it to the default fail (Dagster 1.13).
    """
    if not settings.dagster_storage_uri:
        return
    import dagster as dg

    with (instance_dir(settings.home) / ".tables.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with dg.DagsterInstance.get() as instance:
            claim_store(instance, settings)
            if DUCKDB_POOL not in instance.event_log_storage.get_concurrency_keys():
                instance.event_log_storage.set_concurrency_slots(DUCKDB_POOL, 1)


def _write(path: Path, text: str) -> None:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
