"""Broken files: bytes of good ones changed at random, and what landing made of each of them.

A file must be refused, or landed with the rows and texts that Python's own reader finds in it. Anything else is a
difference: a crash, a wrong count, a changed value, a refusal without a reason, anything left behind by a refusal.
"""

from __future__ import annotations

import csv
import io
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from assets.landing.contract import CONTRACT
from assets.landing.land import LandingError, land

PIECES = (
    b"\x00", b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\xff", b"\xc3\x28", b"\xef\xbb\xbf", b"'", b"\\", b";", b"\t",
    b"NULL", b"NaN", b"\xf0\x9f\x9b\x92", b" ", b"=1+1", b"{{ 1 }}", b"--", b"\x1a", b"\xed\xa0\x80", b"1e400",
)  # fmt: skip

#: The second: landed by DuckDB where the second reader cannot read, so that nothing was compared.
LANDED, NOT_COMPARED = "landed", "landed, not compared: the second reader cannot read it"


@dataclass
class FuzzReport:
    """files tried; outcomes: landed or why refused, shortened; differences: what must not be."""

    files: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    rows: int = 0


def fuzz(
    folder: Path,
    texts: dict[str, str],
    seconds: float,
    seed: int,
    tell: Callable[[str], None],
    files_count: int | None = None,
) -> FuzzReport:
    """Break files of `texts` (table -> CSV) for so long or until so many, one a landing, a fresh home every 200."""
    from orchestration.resources.settings import Settings

    rng, report, ends = random.Random(seed), FuzzReport(), time.monotonic() + seconds
    tables = sorted(texts)
    parquet = {name: _as_parquet(text) for name, text in texts.items()}
    told = time.monotonic()
    while time.monotonic() < ends and report.files != files_count:
        if report.files % 200 == 0:
            shutil.rmtree(folder, ignore_errors=True)
            _land_as_it_is(folder, texts)
        table = rng.choice(tables)
        is_parquet = rng.random() < 0.3
        content = broken(parquet[table] if is_parquet else texts[table].encode(), rng)
        source = folder / "source"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        path = source / f"{table}.{'parquet' if is_parquet else 'csv'}"
        path.write_bytes(content)
        if table not in ("transactions", "market_outcomes"):
            (source / "market_outcomes.csv").write_text(
                texts["market_outcomes"], encoding="utf-8", newline=""
            )
        settings = Settings(home=folder / "home", source=str(source), period="week")
        before = _landed(settings.landing_dir)
        report.files += 1
        try:
            landing = land(settings)
        except LandingError as error:
            (refused,) = [one for one in error.refused if one.file_name.startswith(table)] or [None]
            if refused is None or len(refused.reason) < 20:
                report.differences.append(f"file {report.files}: refused without a reason: {error}")
            elif _landed(settings.landing_dir) != before:
                report.differences.append(f"file {report.files}: refused, but the landing has changed")
            else:
                report.outcomes[_short(refused.reason)] += 1
        except Exception as error:
            report.differences.append(f"file {report.files}: {type(error).__name__}: {str(error)[:200]}")
        else:
            load = next((one for one in landing.loads_new if one.table_name == table), None)
            if load is None:
                report.outcomes["known before"] += 1
                continue
            report.rows += load.rows_count
            landed = pq.ParquetFile(
                settings.landing_dir / "canonical" / table / f"{load.load_id}.parquet"
            ).read()
            said = _disagreement(path, landed, table)
            report.outcomes[NOT_COMPARED if said == NOT_COMPARED else LANDED] += 1
            if said and said != NOT_COMPARED:
                report.differences.append(f"file {report.files} ({path.name}): {said}")
        if time.monotonic() - told > 15:
            told = time.monotonic()
            tell(
                f"{report.files} files, {report.outcomes[LANDED]} landed, {len(report.differences)} differences"
            )
    return report


def broken(content: bytes, rng: random.Random) -> bytes:
    """The content after one to four changes: bits, pieces put in or cut out, copies, an end that is missing."""
    made = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(len(made) + 1)
        what = rng.randrange(6)
        if what == 0 and made:
            made[min(place, len(made) - 1)] ^= 1 << rng.randrange(8)
        elif what == 1:
            made[place:place] = rng.choice(PIECES)
        elif what == 2:
            del made[place : place + rng.choice([1, 2, 10, 200])]
        elif what == 3:
            made[place:place] = made[place : place + rng.choice([1, 20, 300])]
        elif what == 4:
            del made[place:]
        else:
            made[place : place + 1] = rng.choice(PIECES)
    return bytes(made)


def _disagreement(path: Path, landed: pa.Table, table: str) -> str | None:
    """What Python's reader found otherwise than landing did; None where they agree."""
    if path.suffix == ".parquet":
        try:
            read = pq.ParquetFile(path).read()
        except (OSError, pa.ArrowException):
            return (
                NOT_COMPARED  # broken is what DuckDB does not read, the schema that pyarrow keeps for itself
            )
        return (
            None
            if read.num_rows == landed.num_rows
            else f"{read.num_rows} rows in it, {landed.num_rows} landed"
        )
    text = path.read_bytes().decode("utf-8-sig")
    try:
        records = [one for one in csv.reader(io.StringIO(text, newline=""), strict=True) if one]
    except csv.Error as error:
        return f"Python's reader refuses it ({error}), landing took {landed.num_rows} rows"
    header, rows = records[0], records[1:]
    if len(rows) != landed.num_rows:
        return f"{len(rows)} rows in it, {landed.num_rows} landed"
    order = landed.column("row_number").to_pylist()
    for name in set(header) & set(CONTRACT[table].column_names):
        place = header.index(name)
        found = landed.column(name).to_pylist()
        for number, value in zip(order, found, strict=True):
            if (rows[number - 1][place] or None) != value:
                return f"row {number}, {name}: {rows[number - 1][place]!r} in it, {value!r} landed"
    return None


def _land_as_it_is(folder: Path, texts: dict[str, str]) -> None:
    """A home that holds the good files already, as a home in use does."""
    from orchestration.resources.settings import Settings

    source = folder / "source"
    source.mkdir(parents=True)
    for name, text in texts.items():
        (source / f"{name}.csv").write_text(text, encoding="utf-8", newline="")
    land(Settings(home=folder / "home", source=str(source), period="week"))


def _as_parquet(text: str) -> bytes:
    options = pyarrow.csv.ConvertOptions(strings_can_be_null=True)
    table = pyarrow.csv.read_csv(io.BytesIO(text.encode()), convert_options=options)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _landed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")} if folder.exists() else set()


def _short(reason: str) -> str:
    words = reason.split(": ", 1)[-1] if reason.startswith("line ") else reason
    words = re.sub(r"missing column .*", "missing column", re.sub(r"\d+", "N", words))
    words = re.sub(r"column names occur twice.*", "column names occur twice", words.split("(")[0])
    return "refused: " + " ".join(words.split()[:7])
