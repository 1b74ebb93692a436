"""Odd but valid identifiers are data: they come out of landing as they went in, byte for byte."""

import tempfile
from pathlib import Path

import duckdb
import pandas as pd
from hypothesis import example, given, settings, strategies

from assets.landing.land import land
from orchestration.resources.settings import Settings

ODD = [
    "NULL",
    "null",
    "None",
    "nan",
    "007",
    "1e5",
    "true",
    "'; DROP TABLE consumers; --",
    '" OR 1=1',
    "{{ env_var('HOME') }}",
    "{% raw %}",
    "../../etc/passwd",
    "C:\\temp\\new",
    "\\N",
    "-",
    "#1",
    "=1+1",
    " padded ",
    "a,b",
    "a\nb",
    "a\r\nb",
    "\r",
    "\t",
    "\x00",
    "😀👩‍👩‍👧",
    "é vs e\u0301",
    "\u2028",
    "\ufeff",
    "x" * 10_000,
]
TEXTS = strategies.text(strategies.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(
    names=strategies.lists(TEXTS, min_size=1, max_size=20),
    suffix=strategies.sampled_from([".csv", ".parquet"]),
)
@example(names=ODD, suffix=".csv")
@example(names=ODD, suffix=".parquet")
def test_identifiers_and_column_names_survive(names, suffix):
    with tempfile.TemporaryDirectory() as scratch:
        folder, home = Path(scratch) / "source", Path(scratch) / "home"
        folder.mkdir()
        columns = [name for name in dict.fromkeys(names) if name.strip()]
        frame = pd.DataFrame({"market_id": names, "period_start_date": "2024-01-01", "gmv_amount": "1"})
        extras = pd.DataFrame({name: names for name in columns if name not in frame.columns})
        frame = pd.concat([frame, extras], axis=1)
        path = folder / f"market_outcomes{suffix}"
        if suffix == ".csv":
            path.write_bytes(as_csv(frame))
        else:
            frame.to_parquet(path, index=False)
        report = land(Settings(home=home, source=str(folder)))
        load = report.loads_new[0]
        rows = duckdb.execute(
            "SELECT market_id, extra_columns FROM read_parquet(?) ORDER BY row_number",
            [str(home / "landing" / "canonical" / "market_outcomes" / f"{load.load_id}.parquet")],
        ).fetchall()
        assert [row[0] for row in rows] == names
        assert list(load.extra_column_names) == list(extras.columns)
        assert [list(row[1].items()) for row in rows] == [[(key, name) for key in extras] for name in names]


def as_csv(frame: pd.DataFrame) -> bytes:
    """RFC 4180 with every value quoted: pandas leaves a lone carriage return bare."""
    lines = [list(frame.columns), *frame.to_numpy().tolist()]
    return "".join(
        ",".join('"' + value.replace('"', '""') + '"' for value in line) + "\n" for line in lines
    ).encode()
