"""The home's landing folder: typed empty files, the manifest, and writes that survive kill -9.

Layout: ``landing/<source_name>/<table>/<load_id>.parquet`` beside ``_schema.parquet`` (0 rows, so that every glob
compiles), and ``landing/<source_name>/manifest.parquet``. A load exists once its row is in the manifest, which is
written last; a data file without a manifest row is the leaving of a killed run and does not count.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from assets.landing.contract import CONTRACT, MANIFEST_COLUMNS
from assets.landing.sources.complete_journey import RAW_TABLES

if TYPE_CHECKING:
    from orchestration.resources.settings import Settings

SCHEMA_FILE = "_schema.parquet"
MANIFEST_FILE = "manifest.parquet"
SOURCE_NAMES = ("complete_journey", "simulated", "canonical")


@dataclass(frozen=True, slots=True)
class Load:
    """One landed file: a row of the manifest."""

    load_id: str
    load_sequence: int
    source_name: str
    table_name: str
    file_name: str
    content_sha256: str
    rows_count: int
    columns: tuple[str, ...]
    extra_column_names: tuple[str, ...]
    landed_at: dt.datetime


def connect() -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB in UTC; no file of the home is ever opened as a database here."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def quote_identifier(name: str) -> str:
    """Return ``name`` as a DuckDB identifier that means itself, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return ``text`` as a DuckDB string literal, for the places where no parameter is allowed."""
    return "'" + text.replace("'", "''") + "'"


def landed_columns(source_name: str, table_name: str) -> dict[str, str]:
    """Column name -> DuckDB type of the landed files of a table."""
    if source_name == "complete_journey":
        return RAW_TABLES[table_name].landed_columns()
    return CONTRACT[table_name].landed_columns()


def tables_of(source_name: str) -> tuple[str, ...]:
    """Tables that a source lands."""
    return tuple(RAW_TABLES) if source_name == "complete_journey" else tuple(CONTRACT)


def write_parquet(
    connection: duckdb.DuckDBPyConnection, query: str, target: Path, parameters: Sequence[object] = ()
) -> None:
    """Write ``query`` to ``target`` in one step: a temporary file beside it, synced, then renamed over it.

    The temporary name does not end in .parquet, so that no glob ever sees half a file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        connection.execute(
            f"COPY ({query}) TO {quote_literal(str(temporary))} (FORMAT parquet, COMPRESSION zstd)",
            list(parameters),
        )
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def prepare_landing(settings: Settings) -> None:
    """Create the landing folders of all three sources with typed empty files, so that every dbt branch compiles.

    Existing loads and manifests stay as they are; calling it again changes nothing.
    """
    with connect() as connection:
        for source_name in SOURCE_NAMES:
            folder = settings.landing_dir / source_name
            for table_name in tables_of(source_name):
                columns = landed_columns(source_name, table_name)
                _write_empty(connection, folder / table_name / SCHEMA_FILE, columns)
            if not (folder / MANIFEST_FILE).exists():
                _write_empty(connection, folder / MANIFEST_FILE, MANIFEST_COLUMNS)


def read_manifest(landing_dir: Path, source_name: str) -> list[Load]:
    """Loads of a source in load order; an empty list where nothing was landed yet."""
    path = landing_dir / source_name / MANIFEST_FILE
    if not path.exists():
        return []
    names = ", ".join(MANIFEST_COLUMNS)
    with connect() as connection:
        rows = connection.execute(
            f"SELECT {names} FROM read_parquet(?) ORDER BY load_sequence", [str(path)]
        ).fetchall()
    return [Load(*row[:7], tuple(row[7]), tuple(row[8]), row[9]) for row in rows]


def write_manifest(landing_dir: Path, source_name: str, loads: Sequence[Load]) -> None:
    """Replace the manifest of a source by ``loads``, atomically. This is what makes new loads exist."""
    target = landing_dir / source_name / MANIFEST_FILE
    with connect() as connection:
        connection.execute(
            "CREATE TABLE manifest (" + ", ".join(f"{n} {t}" for n, t in MANIFEST_COLUMNS.items()) + ")"
        )
        if loads:
            connection.executemany(
                f"INSERT INTO manifest VALUES ({', '.join('?' * len(MANIFEST_COLUMNS))})",
                [
                    [
                        load.load_id,
                        load.load_sequence,
                        load.source_name,
                        load.table_name,
                        load.file_name,
                        load.content_sha256,
                        load.rows_count,
                        list(load.columns),
                        list(load.extra_column_names),
                        load.landed_at,
                    ]
                    for load in loads
                ],
            )
        write_parquet(connection, "SELECT * FROM manifest ORDER BY load_sequence", target)


@contextmanager
def landing_lock(landing_dir: Path) -> Iterator[None]:
    """Hold the home's landing lock: a second landing waits. The lock dies with its process, also by kill -9."""
    landing_dir.mkdir(parents=True, exist_ok=True)
    with (landing_dir / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _write_empty(connection: duckdb.DuckDBPyConnection, target: Path, columns: dict[str, str]) -> None:
    if target.exists() and _columns_of(connection, target) == list(columns):
        return
    casts = ", ".join(f"CAST(NULL AS {kind}) AS {quote_identifier(name)}" for name, kind in columns.items())
    write_parquet(connection, f"SELECT {casts} WHERE false", target)


def _columns_of(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    return [
        row[0] for row in connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    ]
