"""Land a source: every file once, whole or not at all, and nothing at all if one file of the call is refused.

Files are first shaped into a staging folder; only when every one of them was read to its last row are they renamed
into place, and the manifest, written last, makes them exist. A kill at any moment therefore leaves either the old
state or the new one.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from assets.landing.contract import CONTRACT, OUTCOME_TABLES
from assets.landing.manifest import (
    SOURCE_NAMES,
    Load,
    connect,
    landed_columns,
    landing_lock,
    prepare_folders,
    read_manifest,
    sync_folder,
    tables_of,
    write_manifest,
    write_parquet,
)
from assets.landing.pseudonyms import id_key, other_key, set_key, write_mark
from assets.landing.reader import (
    FileRefusedError,
    SourceFile,
    content_sha256,
    contract_query,
    explain_read_error,
    extra_columns,
    load_id_of,
    read_shape,
    typed_query,
)
from assets.landing.sources import canonical, complete_journey, simulated
from assets.landing.sources.canonical import IgnoredFile
from assets.landing.tombstones import id_column, load_tombstones, without_erased

if TYPE_CHECKING:
    from orchestration.resources.settings import Settings

STAGING_FOLDER = ".staging"


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that breaks the contract as a whole, and why; ``table_name`` is '' where the source itself is at fault."""

    table_name: str
    file_name: str
    reason: str


class LandingError(ValueError):
    """Nothing was landed: the source or at least one of its files is refused. ``refused`` lists all of them."""

    def __init__(self, refused: Sequence[RefusedFile], source: str) -> None:
        self.refused = tuple(refused)
        lines = [f"  {item.file_name}: {item.reason}" for item in self.refused]
        super().__init__(
            f"Nothing was landed from {source}: {len(lines)} refused.\n" + "\n".join(lines) + "\n"
            "Correct this and run again; what was landed before is untouched."
        )


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file whose content had been landed before, perhaps under another name."""

    table_name: str
    file_name: str
    load_id: str
    landed_file_name: str


@dataclass(frozen=True, slots=True)
class LandingReport:
    """What one call of ``land`` found and did. ``rows_per_table`` counts all loads of the source, old and new."""

    source_name: str
    loads_new: tuple[Load, ...]
    loads_known: tuple[KnownFile, ...]
    ignored: tuple[IgnoredFile, ...]
    rows_per_table: dict[str, int]
    loads: tuple[Load, ...]
    seconds: float
    notes: tuple[str, ...] = ()

    def table_rows(self) -> list[tuple[str, int, int, int]]:
        """Rows for printing: table, new files, files known before, rows in all loads."""
        return [
            (
                name,
                sum(load.table_name == name for load in self.loads_new),
                sum(known.table_name == name for known in self.loads_known),
                rows_count,
            )
            for name, rows_count in self.rows_per_table.items()
        ]

    def lines(self) -> list[str]:
        """Plain lines for a log or a terminal."""
        lines = [
            f"Landed source {self.source_name}: {len(self.loads_new)} new, {len(self.loads_known)} known before, "
            f"{len(self.ignored)} ignored, {self.seconds:.1f} s"
        ]
        lines += [
            f"  {name:<22} {rows:>12,} rows  {new} new, {known} known"
            for name, new, known, rows in self.table_rows()
        ]
        lines += [
            f"  {load.file_name}: columns outside the contract: {', '.join(load.extra_column_names)} "
            f"({CONTRACT[load.table_name].extra_columns_role})"
            for load in self.loads_new
            if load.extra_column_names
        ]
        lines += [
            f"  {known.file_name}: same content as {known.landed_file_name}, not landed again"
            for known in self.loads_known
            if known.file_name != known.landed_file_name
        ]
        lines += [f"  ignored {item.file_name}: {item.reason}" for item in self.ignored]
        return lines + [f"  note: {note}" for note in self.notes]


@dataclass(frozen=True, slots=True)
class _Rules:
    """What happens to consumers on the way: ids become pseudonyms, the erased stay out. The connection knows how."""

    is_hashed: bool
    has_tombstones: bool


def land(settings: Settings) -> LandingReport:
    """Land the source of ``settings`` into its home and say what happened.

    Raises LandingError, with every refused file and its reason, before anything is landed.
    """
    started = time.monotonic()
    with landing_lock(settings.landing_dir):
        try:
            prepare_folders(settings)
        except FileNotFoundError as error:
            raise LandingError([RefusedFile("", "manifest.parquet", str(error))], settings.source) from error
        _refuse_another_source(settings)
        staging = settings.landing_dir / STAGING_FOLDER
        shutil.rmtree(staging, ignore_errors=True)  # left by a killed landing; the lock says nobody uses it
        staging.mkdir(parents=True)
        try:
            with tempfile.TemporaryDirectory(dir=staging) as scratch:
                files, ignored = _find_files(settings, Path(scratch))
                report = _land_files(settings, files, staging)
                if settings.source_name == "simulated":
                    simulated.keep_truth(settings, Path(scratch))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return replace(report, ignored=tuple(ignored), seconds=time.monotonic() - started)


def _refuse_another_source(settings: Settings) -> None:
    """A home keeps one brand: marts, fits and tables of two sources would be mixed."""
    for other in SOURCE_NAMES:
        if other != settings.source_name and read_manifest(settings.landing_dir, other):
            reason = (
                f"the home {settings.home} holds data of the source {other}, and a home keeps one brand: give another "
                "home, HOME_DIR=path/to/home (MEDIAMIX_HOME)."
            )
            raise LandingError([RefusedFile("", settings.source, reason)], settings.source)


def _find_files(settings: Settings, scratch: Path) -> tuple[list[SourceFile], list[IgnoredFile]]:
    try:
        if settings.source_name == "complete_journey":
            return complete_journey.find_files(), []
        if settings.source_name == "simulated":
            return simulated.write_world(settings, scratch), []
        return _find_canonical(settings)
    except FileRefusedError as error:
        raise LandingError([RefusedFile("", settings.source, str(error))], settings.source) from error


def _find_canonical(settings: Settings) -> tuple[list[SourceFile], list[IgnoredFile]]:
    folder = Path(settings.source)
    if not folder.is_dir():
        raise FileRefusedError(
            f"there is no such folder. Give the path of a folder that holds {canonical.expected_names()}."
        )
    files, ignored = canonical.find_files(folder)
    settings.inbox_dir.mkdir(parents=True, exist_ok=True)
    if settings.inbox_dir.resolve() != folder.resolve():
        more_files, more_ignored = canonical.find_files(settings.inbox_dir, prefix="inbox/")
        files, ignored = files + more_files, ignored + more_ignored
    if not files:
        others = ", ".join(item.file_name for item in ignored) or "nothing"
        raise FileRefusedError(
            f"no table of the contract in this folder, found {others}. Expected {canonical.expected_names()}."
        )
    tables = {source_file.table_name for source_file in files}
    earlier = {load.table_name for load in read_manifest(settings.landing_dir, "canonical")}
    if not (tables | earlier) & set(OUTCOME_TABLES):
        raise FileRefusedError(
            f"neither {' nor '.join(OUTCOME_TABLES)} is there (found {', '.join(sorted(tables))}), so there is no GMV "
            "to explain. Add transactions (one row a purchase) or market_outcomes (one row a market and period)."
        )
    return files, ignored


def _land_files(settings: Settings, files: Iterable[SourceFile], staging: Path) -> LandingReport:
    """Stage all files, then move them into place, then write the manifest."""
    source_name = settings.source_name
    folder = settings.landing_dir / source_name
    loads = {load.load_id: load for load in read_manifest(settings.landing_dir, source_name)}
    earlier_count = len(loads)
    landed_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    new: list[Load] = []
    known: list[KnownFile] = []
    refused: list[RefusedFile] = []
    key = id_key(settings)
    reason = other_key(folder, key) if loads else None
    if reason:
        raise LandingError([RefusedFile("", settings.source, reason)], settings.source)
    with connect() as connection:
        if key is not None:
            set_key(connection, key)
        rules = _Rules(is_hashed=key is not None, has_tombstones=load_tombstones(connection, folder))
        for source_file in files:
            table_name = source_file.table_name
            try:
                load_id = load_id_of(table_name, source_file.path)
                earlier = loads.get(load_id)
                if earlier is not None:
                    known.append(KnownFile(table_name, source_file.file_name, load_id, earlier.file_name))
                    staged = staging / f"{load_id}.parquet"
                    if not staged.exists() and not _target(folder, earlier).exists():
                        _stage(
                            connection, source_file, earlier, staging, rules
                        )  # somebody deleted it: put it back
                    continue
                draft = Load(
                    load_id=load_id,
                    load_sequence=max((load.load_sequence for load in loads.values()), default=0) + 1,
                    source_name=source_name,
                    table_name=table_name,
                    file_name=source_file.file_name,
                    content_sha256=content_sha256(source_file.path),
                    rows_count=0,
                    columns=(),
                    extra_column_names=(),
                    landed_at=landed_at,
                )
                load = _stage(connection, source_file, draft, staging, rules)
                loads[load_id] = load
                new.append(load)
            except FileRefusedError as error:
                refused.append(RefusedFile(table_name, source_file.file_name, str(error)))
            except OSError as error:
                reason = f"it cannot be read ({error.strerror}). Check the file and its permissions."
                refused.append(RefusedFile(table_name, source_file.file_name, reason))
    if source_name == "simulated" and earlier_count and new:
        reason = (
            "this home already holds another simulated world (other settings, seed or version), and two worlds must "
            "not mix. Use another home (HOME_DIR=...) or delete the folder landing/simulated of this one."
        )
        refused.append(RefusedFile("", "simulated", reason))
    refused += _refuse_lost_files(folder, loads.values(), staging)
    if refused:
        raise LandingError(refused, settings.source)
    write_mark(folder, key)
    _move_into_place(folder, loads.values(), staging)
    if new:
        write_manifest(settings.landing_dir, source_name, list(loads.values()))
    rows = {name: 0 for name in tables_of(source_name)}
    for load in loads.values():
        rows[load.table_name] += load.rows_count
    return LandingReport(
        source_name=source_name,
        loads_new=tuple(new),
        loads_known=tuple(known),
        ignored=(),
        rows_per_table=rows,
        loads=tuple(loads.values()),
        seconds=0.0,
        notes=tuple(_notes(source_name, rows, loads.values())),
    )


def _stage(
    connection: duckdb.DuckDBPyConnection, source_file: SourceFile, load: Load, staging: Path, rules: _Rules
) -> Load:
    """Shape one file into the staging folder, read to its last row; returns its load with counts and columns."""
    path = source_file.path
    before = path.stat()
    shape = read_shape(connection, path)
    if load.source_name == "complete_journey":
        selected = typed_query(shape, complete_journey.RAW_TABLES[load.table_name].columns)
        extras: tuple[str, ...] = ()
    else:
        selected = contract_query(shape, CONTRACT[load.table_name], hashed=rules.is_hashed)
        extras = extra_columns(shape, CONTRACT[load.table_name])
    values = (load.load_id, load.load_sequence, load.file_name, load.landed_at)
    query = f"""
        SELECT {selected}, CAST(? AS VARCHAR) AS load_id, CAST(? AS BIGINT) AS load_sequence,
            CAST(? AS VARCHAR) AS file_name, CAST(file_row AS BIGINT) AS row_number,
            CAST(? AS TIMESTAMP) AS landed_at
        FROM {shape.relation}
    """
    name = id_column(load.source_name)
    if rules.has_tombstones and name in landed_columns(load.source_name, load.table_name):
        query = without_erased(query, name)
    target = staging / f"{load.load_id}.parquet"
    try:
        rows_count = write_parquet(connection, query, target, (*values, *shape.parameters))
    except duckdb.Error as error:
        raise FileRefusedError(explain_read_error(error)) from error
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        target.unlink()
        raise FileRefusedError("it changed while it was read. Wait until it is complete and run again.")
    return replace(load, rows_count=rows_count, columns=shape.columns, extra_column_names=extras)


def _target(folder: Path, load: Load) -> Path:
    return folder / load.table_name / f"{load.load_id}.parquet"


def _refuse_lost_files(folder: Path, loads: Iterable[Load], staging: Path) -> list[RefusedFile]:
    return [
        RefusedFile(
            load.table_name,
            load.file_name,
            f"it was landed on {load.landed_at:%Y-%m-%d} and {_target(folder, load)} has since disappeared. Put the "
            "original file back into the source folder or the inbox, or restore the home from a backup.",
        )
        for load in loads
        if not _target(folder, load).exists() and not (staging / f"{load.load_id}.parquet").exists()
    ]


def _move_into_place(folder: Path, loads: Iterable[Load], staging: Path) -> None:
    for load in loads:
        staged = staging / f"{load.load_id}.parquet"
        if staged.exists():
            target = _target(folder, load)
            os.replace(staged, target)
            sync_folder(target.parent)


def _notes(source_name: str, rows: dict[str, int], loads: Iterable[Load]) -> list[str]:
    notes = []
    if source_name == "complete_journey":
        return notes
    tables = {load.table_name for load in loads}
    if "transactions" not in tables:
        notes.append("market-only data: no transactions, so consumer-level results will say 'not evaluated'")
    elif "consumers" not in tables:
        notes.append(
            "transactions without consumers: whoever has a transaction or an exposure counts as a consumer, first "
            "seen at the earliest of them; nothing else is known about consumers"
        )
    notes += [f"{name} landed with 0 rows" for name in rows if name in tables and rows[name] == 0]
    return notes
