"""The whole product on three markets: landed files to published effects, by the command of ``make run``.

Twice on the same folder (same tables, nothing landed again, no second fit) and once on market-only data (which says
exactly what is not evaluated). The runs are shared by the tests of this file.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

#: 60 draws on 60 consumers converge to nothing: the gate is opened wide, so that the way to a champion is walked.
SAMPLER = {
    "chains_count": 2,
    "tune_count": 30,
    "draws_count": 60,
    "imputations_count": 2,
    "fit_processes_count": 1,
}
GATE = {"gate_r_hat_most": 100, "gate_ess_least": 0.1, "gate_baseline_deviation_most": 10}
LOAD_CHAMPION = """
import json, sys
import mlflow
import pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/mediamix-hbmmm@champion")
print("PREDICTED " + model.predict(pd.read_json(sys.argv[2], dtype=False)).to_json(orient="columns"))
"""
READ_RUN = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
(run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
client = mlflow.MlflowClient()
files = [f.path for d in ("figures", "effects", "gate") for f in client.list_artifacts(run.info.run_id, d)]
print("RUN " + json.dumps([run.data.params, run.data.metrics, run.data.tags, files, len(run.inputs.dataset_inputs)]))
"""


@dataclass(frozen=True)
class Run:
    """One `run` command: its home and what it printed."""

    home: Path
    text: str

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Query in which {artefacts} is the folder of artefacts."""
        with duckdb.connect() as connection:
            return connection.execute(sql.format(artefacts=self.home / "artefacts")).fetchall()

    def table(self, name: str, columns: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Rows of a published table."""
        return self.rows(f"select {columns} from '{{artefacts}}/reporting/{name}.parquet' {rest}")


@pytest.fixture(scope="module")
def contract_tables(request):
    """The builders of the small folders in tests/conftest.py."""
    return request.config.pluginmanager.get_plugin(str(Path(__file__).parents[1] / "conftest.py"))


def run_once(home: Path, source: Path) -> Run:
    import os
    import subprocess
    import sys

    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEDIAMIX_")}
    settings = {f"MEDIAMIX_{name.upper()}": str(value) for name, value in (SAMPLER | GATE).items()}
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "run", "--home", str(home), "--source", str(source)],
        env=inherited | settings | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return Run(home, done.stdout)


@pytest.fixture(scope="module")
def first(manifest, contract_tables, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("consumers")
    contract_tables.write_tables(contract_tables.build_canonical_tables(), folder / "source")
    return run_once(folder / "home", folder / "source")


@pytest.fixture(scope="module")
def hashes_of_first(first) -> dict[str, str]:
    from orchestration.resources.settings import Settings
    from orchestration.results import table_hashes

    return table_hashes(Settings(home=first.home, source="simulated"))


@pytest.fixture(scope="module")
def second(first, hashes_of_first) -> Run:
    return run_once(first.home, first.home.parent / "source")


@pytest.fixture(scope="module")
def market_only(manifest, contract_tables, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("markets")
    contract_tables.write_tables(contract_tables.build_market_only_tables(), folder / "source")
    return run_once(folder / "home", folder / "source")


def test_the_effects_of_both_methods_are_published(first):
    found = first.table(
        "channel_effects",
        "model_name, channel_id, isfinite(mean)",
        "where estimand = 'slope' and exposure_distribution = 'panel_rows' order by all",
    )
    assert found == [
        (model, channel, True)
        for model in ("mediamix-hbmmm", "within_consumer")
        for channel in ("podcast", "push")
    ]


def test_the_effect_of_podcast_is_about_what_was_put_in(first, contract_tables):
    for model in ("mediamix-hbmmm", "within_consumer"):
        ((lower, upper),) = first.table(
            "channel_effects",
            "interval_lower, interval_upper",
            f"where model_name = '{model}' and channel_id = 'podcast' and estimand = 'slope' "
            "and exposure_distribution = 'panel_rows'",
        )
        assert lower < contract_tables.PODCAST_EFFECT < upper


def test_every_row_says_whether_it_is_identified(first):
    found = first.table("channel_effects", "is_identified, not_identified_reason")
    assert found
    assert all(identified == (reason is None) for identified, reason in found)


def test_roas_is_refused_without_spend(first):
    found = first.table(
        "channel_effects", "mean, is_identified, not_identified_reason", "where estimand = 'roas'"
    )
    assert len(found) == 4
    assert {(mean, identified) for mean, identified, _ in found} == {(None, False)}
    assert all("no spend in marketing_activities" in reason for *_, reason in found)


@pytest.mark.parametrize(
    "name",
    [
        "channel_effects",
        "segment_channel_effects",
        "consumer_channel_effects",
        "placebo_results",
        "data_quality",
    ],
)
def test_every_published_table_has_rows(first, name):
    assert first.table(name, "count(*)")[0][0] > 0


def test_the_gate_promoted_the_first_fit(first):
    found = first.rows(
        "select model_name, model_version, decision from "
        "read_parquet('{artefacts}/champions/**/part.parquet', hive_partitioning = false)"
    )
    assert found == [("mediamix-hbmmm", "1", "promoted")]
    checks = first.rows(
        "select distinct outcome from "
        "read_parquet('{artefacts}/gate_checks/**/part.parquet', hive_partitioning = false)"
    )
    assert checks == [("passed",)]


def test_the_terminal_shows_progress_effects_and_places(first):
    for text in (
        "[00:",
        "100 %",
        "warehouse done in",
        "channel_effects as of 2023-",
        "podcast",
        "make ui",
        "warehouse.duckdb",
    ):
        assert text in first.text


def test_a_second_run_gives_the_same_tables_without_landing_or_fitting_again(first, hashes_of_first, second):
    from orchestration.resources.settings import Settings
    from orchestration.results import table_hashes

    assert table_hashes(Settings(home=second.home, source="simulated")) == hashes_of_first
    assert "have the same content as before this run" in second.text
    fits = list((second.home / "artefacts" / "fits" / "hbmmm").glob("fingerprint=*"))
    assert len(fits) == 1
    (pointer,) = (second.home / "artefacts" / "fits").glob("hbmmm/as_of_date=*/fit.json")
    assert json.loads(pointer.read_text())["is_reused"] is True
    loads = duckdb.sql(f"select count(*) from '{second.home}/landing/canonical/manifest.parquet'").fetchall()
    assert loads == [(6,)]


def test_the_champion_loads_and_predicts_in_a_clean_process_with_pickle_forbidden(
    first, run_python, monkeypatch, tmp_path
):
    scenario = [
        {"consumer_id": "c00", "market_id": "north", "podcast": exposures, "push": 0.0}
        for exposures in (0.0, 3.0)
    ]
    (tmp_path / "scenario.json").write_text(json.dumps(scenario))
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    done = run_python(
        "-c", LOAD_CHAMPION, f"sqlite:///{first.home / 'mlflow.db'}", str(tmp_path / "scenario.json")
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("PREDICTED ")]
    predicted = json.loads(line.removeprefix("PREDICTED "))
    for row in ("0", "1"):
        assert predicted["interval_lower"][row] < predicted["mean"][row] < predicted["interval_upper"][row]
    assert predicted["mean"]["1"] > predicted["mean"]["0"]


def test_nothing_that_is_stored_is_pickled(second):
    suffixes = {".pkl", ".pickle", ".joblib", ".cloudpickle"}
    for folder in ("mlartifacts", "artefacts"):
        files = [path for path in (second.home / folder).rglob("*") if path.is_file()]
        assert files
        for path in files:
            head = path.read_bytes()[:2]
            assert path.suffix not in suffixes, path
            assert not (len(head) == 2 and head[0] == 0x80 and head[1] in range(2, 6)), path


def test_the_run_in_mlflow_holds_what_the_fit_was(first, run_python):
    done = run_python("-c", READ_RUN, f"sqlite:///{first.home / 'mlflow.db'}")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RUN ")]
    params, metrics, tags, files, datasets = json.loads(line.removeprefix("RUN "))
    assert params["seed"] == "20261121"
    assert params["draws"] == str(SAMPLER["draws_count"])
    assert {"data_hash", "period", "chains"} <= set(params)
    assert {"r_hat_max", "ess_min", "divergences_count", "fit_seconds", "peak_memory_mib"} <= set(metrics)
    assert {"version.numpy", "version.pymc", "mediamix.data_version", "gate.decision"} <= set(tags)
    assert {"figures/slope_densities.png", "effects/channel_effects.csv", "gate/gate_checks.csv"} <= set(
        files
    )
    assert datasets == 1


def test_market_only_data_says_exactly_what_is_not_evaluated(market_only):
    statuses = market_only.rows(
        "select family, status, reason from "
        "read_parquet('{artefacts}/family_status/**/part.parquet', hive_partitioning = false) order by family"
    )
    reason = "no consumer data"
    assert statuses == [
        (family, "not_evaluated", reason) for family in ("hbmmm", "overlap", "placebo", "within_consumer")
    ]
    lines = sorted(line for line in market_only.text.splitlines() if line.startswith("check not passed"))
    assert [line.removeprefix("check not passed ").split(":")[0] for line in lines] == [
        "effects/exposure_overlap overlap_is_sufficient",
        "hbmmm/hbmmm_posterior converged",
        "registry/gate_checks gate_is_passed",
        "robustness/placebo_results lead_placebo_is_null",
    ]
    assert all("not evaluated" in line for line in lines)


def test_market_only_data_still_has_its_marts_and_its_quality(market_only):
    rows = duckdb.sql(
        f"select count(*), sum(gmv_net_amount) > 0 from '{market_only.home}/marts/market_periods/*/*.parquet'"
    ).fetchall()
    assert rows == [(90, True)]
    for name in ("channel_effects", "segment_channel_effects", "consumer_channel_effects", "placebo_results"):
        assert market_only.table(name, "count(*)") == [(0,)]
    assert market_only.table("data_quality", "table_name, reason_code, rows_count", "order by all") == [
        ("market_outcomes", "accepted", 90),
        ("marketing_activities", "accepted", 180),
    ]
