"""The parts of the scale study: what it reads, what it writes, how it weighs memory."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from benchmarks import hbmmm_page
from benchmarks.cold_home import decision_of, last_run, outcome_text
from benchmarks.hbmmm_beyond import statistics_by_part
from benchmarks.hbmmm_cold import read_kept, write_tables
from benchmarks.hbmmm_world import bench_config, bench_world, read_statistics, write_world
from benchmarks.machine import make_command
from benchmarks.tree_memory import TreeMemory
from models.hbmmm.config import HBMMMConfig
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
        "consumers": 10, "consumer_months": 240, "raw_rows": 900, "outcome": "published", "seconds_total": 5.0,
        "peak_memory_gib": None, "home_gib": 0.1, "steps": {"landed_files": 2.0}, "clock": "all of it",
        "gate_decision": "promoted", "gate_reason": "every model-level check passed", "sampler": "NUTS",
        "k_hat": None, "r_hat_max": 1.004, "ess_least": 812.0, "published_rows": 90, "published_rows_hbmmm": 12,
    }  # fmt: skip
    hbmmm_page.write_section("cold_10", row, "cold")
    hbmmm_page.write_section("cold_20", row | {"consumers": 20, "steps": {"dbt": 1.0}}, "cold")
    hbmmm_page.write_section("cold_10", row | {"seconds_total": 7.0}, "cold")
    text = (tmp_path / "scale.md").read_text()
    assert "**7**" in text or "**7.0**" in text
    assert text.count("| published | promoted | NUTS |") == 2 and text.index("| 10 |") < text.index("| 20 |")
    assert "make bench-hbmmm PART=cold" in text and "landed_files s" in text and "dbt s" in text


def a_home(folder, decision, reason, facts, rows):
    """What a run leaves of its gate, its fit and its published table (method, one a row)."""
    import duckdb

    place = folder / "artefacts/champions/family=hbmmm/as_of_date=2022-12-31"
    place.mkdir(parents=True)
    pd.DataFrame([{"decision": decision, "decided_reason": reason}]).to_parquet(place / "part.parquet")
    place = folder / "artefacts/estimates/as_of_date=2022-12-31/hbmmm"
    place.mkdir(parents=True)
    (place / "status.json").write_text(json.dumps({"facts": facts}), encoding="utf-8")
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        connection.execute("create schema reporting")
        connection.execute("create table reporting.channel_effects as select unnest(?) as method", [rows])
    return folder


def test_a_run_whose_gate_promoted_nothing_is_not_called_published(tmp_path):
    refused = "converged failed: k-hat 0.81, at most 0.7"
    facts = {"k_hat_max": 0.81, "ess_min": 120.0}
    found = decision_of(a_home(tmp_path, "no_champion", refused, facts, ["within_consumer"]))
    assert found == {
        "gate_decision": "no_champion", "gate_reason": refused, "sampler": "importance sampling", "k_hat": 0.81,
        "r_hat_max": None, "ess_least": 120.0, "published_rows": 1, "published_rows_hbmmm": 0,
    }  # fmt: skip
    assert outcome_text(True, found) == "nothing published"
    assert outcome_text(False, found) == "run failed"


def test_a_promoted_fit_with_rows_is_published(tmp_path):
    facts = {"r_hat_max": 1.003, "ess_min": 700.0}
    found = decision_of(a_home(tmp_path, "promoted", "all passed", facts, ["hbmmm", "hbmmm", "pooled_ols"]))
    assert (found["sampler"], found["published_rows"], found["published_rows_hbmmm"]) == ("NUTS", 3, 2)
    assert outcome_text(True, found) == "published"
    assert outcome_text(True, found | {"published_rows_hbmmm": 0}) == "nothing published"


def test_a_home_that_stopped_before_the_gate_says_so(tmp_path):
    found = decision_of(tmp_path)
    assert found["gate_decision"] is None and found["published_rows"] is None and found["sampler"] is None
    assert outcome_text(True, found) == "no decision of the gate"


def test_a_home_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run to read"):
        last_run(tmp_path)


def test_the_last_run_of_a_home_is_read_from_the_event_log(tmp_path):
    """A kept home gives seconds by step; one that failed is not published whatever its gate had said before."""
    import dagster as dg

    @dg.op
    def lands():
        return 1

    @dg.op
    def fails(one):
        raise ValueError("no")

    @dg.job
    def refresh():
        fails(lands())

    home = a_home(tmp_path / "home", "promoted", "all passed", {"r_hat_max": 1.0}, ["hbmmm"])
    (home / "dagster").mkdir()
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        refresh.execute_in_process(instance=instance, raise_on_error=False)
    run = last_run(home)
    assert set(run.steps) == {"lands", "fails"} and not run.is_success and run.status == "FAILURE"
    assert run.start <= run.steps["lands"][0] <= run.steps["fails"][1] <= run.end
    (tmp_path / "source").mkdir()
    pd.DataFrame({"a": [1, 2, 3]}).to_parquet(tmp_path / "source" / "exposures__00000.parquet")
    row = read_kept(500, tmp_path, None)
    assert row["outcome"] == "run failed (status FAILURE)" and row["rows_by_table"] == {"exposures": 3}
    assert row["peak_memory_gib"] is None and set(row["all_steps"]) == {"lands", "fails"}


def test_naive_rows_are_shown_by_size_with_the_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(hbmmm_page, "STUDY", tmp_path / "scale.json")
    monkeypatch.setattr(sys, "argv", ["bench"])
    row = {
        "method": "naive PyMC", "consumers": 500, "slopes": "independent", "seconds": 900.0, "draws": 600,
        "ess_bulk_min": 9.0, "ess_per_second": 0.01, "times_naive": 1.0, "distance": None, "r_hat_max": 1.4,
        "is_converged": False, "divergences": 0,
    }  # fmt: skip
    for size in (2000, 500):
        ours = row | {"method": "marginal NUTS", "times_naive": 432.0, "distance": 0.2, "is_converged": True}
        methods = [one | {"consumers": size} for one in (row, ours)]
        hbmmm_page.write_section(f"naive_{size}", {"consumers": size, "methods": methods}, "warm")
    text = (tmp_path / "scale.md").read_text()
    assert text.count("| 432 |") == 2 and text.index("| 500 |") < text.index("| 2,000 |")
    assert text.count("## Naive PyMC") == 1


def test_product_settings_are_the_models_own(tmp_path):
    default, product, bench = HBMMMConfig(), bench_config("auto", is_product=True), bench_config("auto")
    assert (product.effect_draws, product.robust_errors) == (default.effect_draws, default.robust_errors)
    assert (product.draws, bench.effect_draws, bench.robust_errors) == (default.draws, 100, False)
    words = hbmmm_page._settings({"effect_draws": product.effect_draws, "robust_errors": True})
    assert words == "1,000 effect draws, with clustered errors"


def test_a_command_names_no_folder_of_this_machine(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench", "--from", "/somewhere/kept", "--sizes", "500"])
    assert make_command("bench") == 'make bench STUDY="--from FOLDER --sizes 500"'
