"""The parts of the scale study: what it reads, what it writes, how it weighs memory."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from benchmarks import hbmmm_page
from benchmarks.hbmmm_beyond import statistics_by_part
from benchmarks.hbmmm_cold import write_tables
from benchmarks.hbmmm_world import bench_world, read_statistics, write_world
from benchmarks.tree_memory import TreeMemory
from models.simulate.consumer_months import consumer_months


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("world")
    write_world(bench_world(300, 6), place)
    return place


def test_every_consumer_has_all_months(folder):
    statistics, _, people = read_statistics(folder)
    assert (statistics.rows_count == 6).all() and len(people) == 300


def test_statistics_by_part_are_those_of_all_rows(folder):
    whole, sums, people = read_statistics(folder)
    parts, exposed, same_people = statistics_by_part(folder, 300, 70)
    np.testing.assert_array_equal(parts.consumer_ids, whole.consumer_ids)
    np.testing.assert_array_equal(parts.market_ids, whole.market_ids)
    np.testing.assert_array_equal(parts.market_index, whole.market_index)
    np.testing.assert_allclose(parts.packed, whole.packed, rtol=1e-12)
    np.testing.assert_array_equal(exposed, sums.exposed)
    pd.testing.assert_frame_equal(same_people.sort_index(), people.sort_index())


def test_raw_tables_hold_the_months_with_a_purchase_and_every_exposure(tmp_path):
    world = bench_world(200, 5)
    rows = write_tables(world, tmp_path / "source")
    months = [len(chunk.outcome) for chunk in consumer_months(world)]
    bought = pd.concat(pd.read_parquet(f) for f in (tmp_path / "source").glob("transactions__*.parquet"))
    assert rows["transactions"] == len(bought) <= sum(months) == 1000
    assert bought["transaction_id"].is_unique and (bought["gmv_amount"] > 0).all()
    exposures = pd.concat(pd.read_parquet(f) for f in (tmp_path / "source").glob("exposures__*.parquet"))
    assert not exposures.duplicated(["consumer_id", "channel_id", "occurred_at"]).any()
    assert (exposures["exposures_count"] >= 1).all()
    covariates = pd.read_parquet(tmp_path / "source" / "market_covariates.parquet")
    assert len(covariates) == rows["market_covariates"] == 50 * 5


def test_the_memory_of_children_counts():
    """A child and its own child hold 60 and 40 MiB."""
    grandchild = "import time; a = bytearray(40 << 20); time.sleep(2)"
    code = (
        f"import subprocess, sys; a = bytearray(60 << 20); "
        f"subprocess.run([sys.executable, '-c', {grandchild!r}])"
    )
    with (
        subprocess.Popen([sys.executable, "-c", code]) as process,
        TreeMemory(process.pid, every_seconds=0.05) as memory,
    ):
        process.wait()
    assert 100 / 1024 < memory.peak_gib < 200 / 1024


def test_a_section_replaces_its_namesake_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(hbmmm_page, "STUDY", tmp_path / "scale.json")
    monkeypatch.setattr(sys, "argv", ["bench", "--sizes", "10"])
    row = {
        "consumers": 10, "consumer_months": 240, "raw_rows": 900, "outcome": "done", "seconds_total": 5.0,
        "peak_memory_gib": 1.0, "home_gib": 0.1, "steps": {"landed_files": 2.0},
    }  # fmt: skip
    hbmmm_page.write_section("cold_10", row, "cold")
    hbmmm_page.write_section("cold_20", row | {"consumers": 20, "steps": {"dbt": 1.0}}, "cold")
    hbmmm_page.write_section("cold_10", row | {"seconds_total": 7.0}, "cold")
    text = (tmp_path / "scale.md").read_text()
    assert "**7**" in text or "**7.0**" in text
    assert text.count("| done |") == 2 and text.index("| 10 |") < text.index("| 20 |")
    assert "make bench-hbmmm PART=cold" in text and "landed_files s" in text and "dbt s" in text
