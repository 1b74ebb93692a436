"""Rows of one consumer in the files of a home: counted, and taken out, file by file. No Dagster, no warehouse.

Files are replaced by a rename, so that a reader sees the old one or the new one; doing it twice changes nothing.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

#: Columns that name a consumer, in whatever table.
ID_NAMES = ("consumer_id", "household_id")
#: Shorter ids are found in any text by chance; numbers sooner than names.
_LEAST_CHARACTERS, _LEAST_DIGITS = 3, 6
#: Compressed or drawn: bytes say nothing. Parquet is looked through by its columns.
_NO_TEXT = (".parquet", ".png", ".nc", ".gz")
_FIT_FILES = ("arrays.nc", "consumers.parquet", "fit.json")
_ROWS_AT_ONCE = 200_000


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in order of its path."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def rows_of(path: Path, consumer_id: str) -> int:
    """Rows of a Parquet or CSV file that name the consumer; 0 for other files and for tables without consumers."""
    if path.suffix == ".parquet":
        return _parquet_rows(path, consumer_id)
    return _csv_rows(path, consumer_id) if path.suffix == ".csv" else 0


def remove_rows(path: Path, consumer_id: str) -> None:
    """Write a Parquet or CSV file anew without the consumer's rows."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.suffix == ".parquet":
            _write_parquet_without(path, consumer_id, temporary)
        else:
            with (
                path.open(encoding="utf-8", newline="") as source,
                temporary.open("w", encoding="utf-8", newline="") as target,
            ):
                writer = csv.writer(target, lineterminator="\n")
                writer.writerows(
                    row for row in csv.reader(source) if not _names(row, _id_positions(path), consumer_id)
                )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_fit_folder(folder: Path) -> bool:
    """Whether a folder holds a saved HBMMM fit, whose arrays have a place for every consumer."""
    return all((folder / name).is_file() for name in _FIT_FILES)


def remove_from_fit(folder: Path, consumer_id: str) -> None:
    """Save the fit anew without the consumer. What was learned of all consumers together stays as it is."""
    from models.hbmmm.fit import HBMMMFit

    fit = HBMMMFit.load(folder)
    keep = fit.consumer_ids.astype(str) != consumer_id
    by_consumer = (
        "consumer_ids",
        "market_index",
        "stratum_index",
        "row_means",
        "coefficient_mean",
        "coefficient_covariance",
        "learned_share",
    )
    assert set(by_consumer) < {field.name for field in fields(fit)}
    changed = {name: getattr(fit, name)[keep] for name in by_consumer}
    completed = tuple(frame[keep] for frame in fit.completed)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        replace(fit, **changed, completed=completed).save(temporary)
        for path in files_below(temporary):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def text_pattern(consumer_id: str) -> re.Pattern[bytes] | None:
    """The id as a word of its own in any bytes; None for an id too short to be told from other text."""
    if len(consumer_id) < (_LEAST_DIGITS if consumer_id.isdigit() else _LEAST_CHARACTERS):
        return None
    return re.compile(rb"(?<![\w-])" + re.escape(consumer_id.encode()) + rb"(?![\w-])")


def has_text(path: Path, pattern: re.Pattern[bytes]) -> bool:
    """Whether the bytes of a file that may hold text hold the pattern."""
    return path.suffix not in _NO_TEXT and pattern.search(path.read_bytes()) is not None


def _parquet_rows(path: Path, consumer_id: str) -> int:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = [name for name in ID_NAMES if name in file.schema_arrow.names]
        if not names:
            return 0
        batches = file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=names)
        return sum(pc.sum(_mask(batch, names, consumer_id)).as_py() or 0 for batch in batches)


def _write_parquet_without(path: Path, consumer_id: str, target: Path) -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        names = [name for name in ID_NAMES if name in schema.names]
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
                writer.write_batch(batch.filter(pc.invert(_mask(batch, names, consumer_id))))


def _mask(batch: pa.RecordBatch, names: list[str], consumer_id: str) -> pa.BooleanArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = None
    for name in names:
        equal = pc.fill_null(pc.equal(pc.cast(batch.column(name), pa.string()), consumer_id), False)
        mask = equal if mask is None else pc.or_(mask, equal)
    return mask


def _csv_rows(path: Path, consumer_id: str) -> int:
    positions = _id_positions(path)
    if not positions:
        return 0
    with path.open(encoding="utf-8", newline="") as handle:
        return sum(_names(row, positions, consumer_id) for row in csv.reader(handle))


def _id_positions(path: Path) -> list[int]:
    with path.open(encoding="utf-8", errors="replace", newline="") as handle:
        header = next(csv.reader(handle), [])
    return [index for index, name in enumerate(header) if name in ID_NAMES]


def _names(row: list[str], positions: list[int], consumer_id: str) -> bool:
    return any(index < len(row) and row[index] == consumer_id for index in positions)
