"""Rows drawn with faults of every kind: dbt classifies them as a judge does that shares nothing with its SQL.

`make study-dirty` does the same with some 20,000 rows.
"""

import datetime as dt
import math
from pathlib import Path

from benchmarks.dirty_cells import GOOD, MISSING, Cell
from benchmarks.dirty_home import classified
from benchmarks.dirty_judge import judge
from benchmarks.dirty_tables import as_csv, draw_tables
from benchmarks.landing_fuzz import _disagreement, fuzz


def test_every_row_gets_the_reason_that_the_contract_gives(tmp_path: Path) -> None:
    tables = draw_tables(60, first_seed=1)
    reasons, differences = classified(tmp_path, tables)
    assert differences == []
    assert len({reason for found in reasons.values() for reason in found}) >= 14
    assert all(None in found and len(set(found)) >= 4 for found in reasons.values())
    tables["exposures"][0] = tables["exposures"][0] | {
        "consumer_id": Cell("", MISSING)
    }  # the judge sees, not dbt
    assert judge(tables, dt.datetime(2026, 1, 1))["exposures"][0] == "missing_key"


def test_broken_files_are_landed_as_they_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    texts = {table: as_csv(rows) for table, rows in draw_tables(12, first_seed=3).items()}
    report = fuzz(tmp_path / "fuzz", texts, seconds=math.inf, seed=1, tell=print, files_count=12)
    assert report.differences == []
    assert sum(report.outcomes.values()) == 12 and 0 < report.outcomes["landed"] < 12


def test_the_fuzzer_sees_a_changed_value_and_a_lost_row(tmp_path: Path) -> None:
    import pyarrow as pa

    path = tmp_path / "markets.csv"
    path.write_text("market_id,name\nnorth,North\nsouth,\n")
    rows = {"market_id": ["north", "south"], "name": ["North", None], "row_number": [1, 2]}
    assert _disagreement(path, pa.table(rows), "markets") is None
    assert "'North' in it" in _disagreement(path, pa.table(rows | {"name": ["Nord", None]}), "markets")
    assert "2 rows in it, 1 landed" in _disagreement(path, pa.table(rows).slice(0, 1), "markets")


def test_a_cell_says_what_it_means() -> None:
    for rows in draw_tables(30, first_seed=5).values():
        for row in rows:
            assert all((cell.text == "") == (cell.state == MISSING) for cell in row.values())
            assert all(cell.value is not None for cell in row.values() if cell.state == GOOD)
