"""Take one consumer out of a home, and scan the home again to prove it.

Order: the tombstone first, so that nothing of the consumer lands meanwhile; then what everything else is derived from;
then the derived files. Killed half way, the command is run again and goes on. Sums over markets, posteriors of what all
consumers have in common, and pictures of them stay: the next refresh makes them anew without the consumer.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assets.landing.manifest import SOURCE_NAMES, connect, landing_lock, read_manifest, write_manifest
from assets.landing.pseudonyms import id_key, pseudonym
from assets.landing.reader import SourceFile, content_sha256, read_shape
from assets.landing.tombstones import add_tombstone
from assets.privacy.files import (
    files_below,
    has_text,
    is_fit_folder,
    remove_from_fit,
    remove_rows,
    rows_of,
    text_pattern,
)
from models.outcomes import FAILED, NOT_EVALUATED, PASSED

if TYPE_CHECKING:
    from orchestration.resources.settings import Settings

_LOG_FOLDERS = ("dagster/logs", "dagster/storage", "dagster/progress")


@dataclass(frozen=True, slots=True)
class Removal:
    """What was taken out of one kind of place: files that changed, rows (None where whole files went)."""

    place: str
    files_count: int
    rows_count: int | None
    what: str


@dataclass(frozen=True, slots=True)
class ScanResult:
    """One place looked through again: passed (nothing found), failed, or not evaluated, with the reason."""

    place: str
    outcome: str
    text: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """What `erase` did and what its second look found."""

    removals: tuple[Removal, ...]
    scan: tuple[ScanResult, ...]
    outside: tuple[str, ...] = field(default=())

    @property
    def is_proven(self) -> bool:
        """True if every place was looked through and nothing was found."""
        return all(result.outcome == PASSED for result in self.scan)


def erase(settings: Settings, consumer_id: str) -> Erasure:
    """Remove a consumer, by the id that the source files have. The caller makes sure that no run is in progress."""
    key = id_key(settings)
    landed_id = consumer_id if key is None else pseudonym(key, consumer_id)
    removals = [*_from_landing(settings, landed_id), *_from_inbox(settings, consumer_id)]
    removals += _warehouse(settings)
    removals += _from_tables(settings.home, "marts", landed_id)
    removals += _from_tables(settings.home, "artefacts", landed_id)
    removals += _from_tables(settings.home, "mlartifacts", landed_id)
    removals += _from_logs(settings.home, {consumer_id, landed_id})
    return Erasure(
        tuple(removals), tuple(scan(settings, consumer_id, landed_id)), tuple(_outside(settings, consumer_id))
    )


def scan(settings: Settings, consumer_id: str, landed_id: str) -> list[ScanResult]:
    """Look through the whole home: rows by their column, everything else byte by byte."""
    home = settings.home
    results = []
    for name in ("inbox", "landing", "marts", "artefacts", "mlartifacts"):
        counts = {
            path: max(rows_of(path, one) for one in {consumer_id, landed_id})
            for path in files_below(home / name)
        }
        found = [f"{path.relative_to(home)}: {count} rows" for path, count in counts.items() if count]
        results.append(_result(f"tables in {name}/", found, f"{len(counts)} files"))
    left = [path.name for path in (settings.warehouse_path, _wal(settings)) if path.exists()]
    results.append(_result("warehouse.duckdb", left, "removed; the next run builds it"))
    for one, kind in {landed_id: "pseudonym", consumer_id: "id"}.items():
        results.append(_scan_text(home, one, kind))
    for name, uri in (("Dagster", settings.dagster_storage_uri), ("MLflow", settings.mlflow_tracking_uri)):
        if uri and not uri.startswith("sqlite"):
            text = "its messages are in a database that this command does not search"
            results.append(ScanResult(f"store of {name}", NOT_EVALUATED, text))
    return results


def _result(place: str, found: list[str], looked: str) -> ScanResult:
    return (
        ScanResult(place, FAILED, "; ".join(found))
        if found
        else ScanResult(place, PASSED, f"nothing found ({looked})")
    )


def _scan_text(home: Path, text: str, kind: str) -> ScanResult:
    place, pattern = f"{kind} as a word in any file", text_pattern(text)
    if pattern is None:
        reason = f"an id of {len(text)} characters cannot be told from other text"
        return ScanResult(place, NOT_EVALUATED, reason)
    files = [path for path in files_below(home) if "landing/.staging" not in str(path)]
    return _result(
        place,
        [str(path.relative_to(home)) for path in files if has_text(path, pattern)],
        f"{len(files)} files",
    )


def _from_landing(settings: Settings, landed_id: str) -> list[Removal]:
    """Tombstone, landed files, and the counts of the manifest."""
    removals = []
    with landing_lock(settings.landing_dir):
        for source_name in SOURCE_NAMES:
            folder = settings.landing_dir / source_name
            loads = read_manifest(settings.landing_dir, source_name)
            if not loads:
                continue
            add_tombstone(folder, landed_id)
            for table in sorted({load.table_name for load in loads}):
                changed = _remove_from_files(files_below(folder / table), landed_id)
                if changed:
                    rows = sum(changed.values())
                    removals.append(
                        Removal(f"landing/{source_name}/{table}", len(changed), rows, "rows removed")
                    )
            counted = [replace(load, rows_count=_rows_count(folder, load)) for load in loads]
            if counted != loads:
                write_manifest(settings.landing_dir, source_name, counted)
    return removals


def _rows_count(folder: Path, load) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(folder / load.table_name / f"{load.load_id}.parquet").num_rows


def _remove_from_files(paths, consumer_id: str) -> dict[Path, int]:
    changed = {}
    for path in paths:
        count = rows_of(path, consumer_id)
        if count:
            remove_rows(path, consumer_id)
            changed[path] = count
    return changed


def _from_inbox(settings: Settings, consumer_id: str) -> list[Removal]:
    """Inbox files that hold the consumer and are landed already go whole: what landing keeps of them stays."""
    landed = {load.content_sha256 for load in read_manifest(settings.landing_dir, "canonical")}
    removed = 0
    for source_file, count in _source_files(settings.inbox_dir, consumer_id):
        if count and content_sha256(source_file.path) in landed:
            source_file.path.unlink()
            removed += 1
    return [Removal("inbox", removed, None, "landed files removed whole")] if removed else []


def _outside(settings: Settings, consumer_id: str) -> list[str]:
    """Files outside the home that still name the consumer; they are not ours to change."""
    folder = settings.source_folder
    if folder is None or not folder.is_dir():
        return []
    found = _source_files(folder, consumer_id)
    return [f"{source_file.path}: {count} rows" for source_file, count in found if count]


def _source_files(folder: Path, consumer_id: str) -> list[tuple[SourceFile, int]]:
    from assets.landing.sources.canonical import find_files

    if not folder.is_dir():
        return []
    return [
        (source_file, _source_rows(source_file.path, consumer_id)) for source_file in find_files(folder)[0]
    ]


def _source_rows(path: Path, consumer_id: str) -> int:
    """Rows of a file as landing reads it, which takes more than plain CSV."""
    with connect() as connection:
        shape = read_shape(connection, path)
        if "consumer_id" not in shape.columns:
            return 0
        name = f"c{shape.columns.index('consumer_id')}"
        query = f"SELECT count(*) FROM {shape.relation} WHERE CAST({name} AS VARCHAR) = ?"
        return int(connection.execute(query, [*shape.parameters, consumer_id]).fetchone()[0])


def _wal(settings: Settings) -> Path:
    return settings.warehouse_path.with_name(settings.warehouse_path.name + ".wal")


def _warehouse(settings: Settings) -> list[Removal]:
    """Derived, and a database keeps deleted rows in its free pages: it goes whole, with what dbt left."""
    present = [path for path in (settings.warehouse_path, _wal(settings)) if path.exists()]
    for path in present:
        path.unlink()
    target = settings.home / "dbt" / "target"
    count = len(present) + len(list(files_below(target)))
    shutil.rmtree(target, ignore_errors=True)
    return (
        [Removal("warehouse.duckdb and dbt/target", count, None, "removed; the next run builds them")]
        if count
        else []
    )


def _from_tables(home: Path, name: str, landed_id: str) -> list[Removal]:
    removals = []
    paths = list(files_below(home / name))
    folders = [path.parent for path in paths if path.name == "fit.json" and is_fit_folder(path.parent)]
    fits = [folder for folder in folders if rows_of(folder / "consumers.parquet", landed_id)]
    for folder in fits:
        if (folder.parent / "two_part.json").exists():
            shutil.rmtree(folder.parent)
        else:
            remove_from_fit(folder, landed_id)
    if fits:
        removals.append(
            Removal(f"{name}: saved fits", len(fits), len(fits), "the consumer's effects removed")
        )
    changed = _remove_from_files((path for path in paths if path.exists()), landed_id)
    if changed:
        removals.append(Removal(f"{name}: tables", len(changed), sum(changed.values()), "rows removed"))
    return removals


def _from_logs(home: Path, ids: set[str]) -> list[Removal]:
    patterns = [pattern for pattern in map(text_pattern, sorted(ids)) if pattern is not None]
    paths = [path for name in _LOG_FOLDERS for path in files_below(home / name)]
    named = [path for path in paths if any(has_text(path, pattern) for pattern in patterns)]
    for path in named:
        path.unlink()
    return [Removal("logs", len(named), None, "removed whole")] if named else []
