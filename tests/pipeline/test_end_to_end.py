"""The whole product on three markets: landed files to published effects, by the command of ``make run``.

Twice on the same folder: same tables, nothing landed again, no second fit. The tests of this file share the runs.
"""

import dataclasses
import json
import re
import shutil

import duckdb
import pandas as pd
import pytest
from markupsafe import escape

from assets.keys import SECOND_OPINION_METHODS

MODELS = ("mediamix-hbmmm", "within_consumer")
DIAGNOSTICS = ("ipw_characteristics", "naive_difference")
#: Names that are data and must arrive as they are: in SQL, Jinja, design columns, markup and file names.
ODD_MARKET = "Robert'); DROP TABLE markets;--"
ODD_CHANNEL = "{{7*7}}'--[b]"
ODD_CONSUMER = "../../etc/passwd"
ODD_NAMES = {"west": ODD_MARKET, "push": ODD_CHANNEL, "c05": ODD_CONSUMER}
SILENT = "radio"  # listed, and nobody was ever exposed
FOLLOWING = "retargeting"  # shown in the week after a purchase, to whoever bought; it has no effect
EXPOSED = ("podcast", ODD_CHANNEL, FOLLOWING)
EFFECT_TABLES = (
    "channel_effects",
    "market_channel_effects",
    "segment_channel_effects",
    "consumer_channel_effects",
)
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
(run,) = mlflow.search_runs(experiment_names=["mediamix/hbmmm"], output_format="list")
client = mlflow.MlflowClient()
files = [f.path for d in ("figures", "effects", "gate") for f in client.list_artifacts(run.info.run_id, d)]
data = [[item.dataset.name, item.dataset.digest] for item in run.inputs.dataset_inputs]
print("RUN " + json.dumps([run.data.params, run.data.metrics, run.data.tags, files, data]))
"""


def build_tables(builders):
    """The small folder with odd names, a channel that nobody saw, and one that follows purchases."""
    tables = builders.build_canonical_tables()
    channels = {"channel_id": [SILENT, FOLLOWING], "name": ["Radio", "Retargeting"], "kind": "paid"}
    tables["channels"] = pd.concat([tables["channels"], pd.DataFrame(channels)], ignore_index=True)
    purchases = tables["transactions"].query("not is_return")
    shown = purchases[["consumer_id"]].assign(
        channel_id=FOLLOWING,
        occurred_at=purchases["occurred_at"] + pd.Timedelta(days=7),
        exposures_count=3,
        campaign_id="after a purchase",
    )
    end = pd.Timestamp(builders.FIRST_MONDAY) + pd.Timedelta(weeks=builders.WEEKS_COUNT)
    tables["exposures"] = pd.concat(
        [tables["exposures"], shown[shown["occurred_at"] < end]], ignore_index=True
    )
    for frame in tables.values():
        for column in {"market_id", "channel_id", "consumer_id"} & set(frame.columns):
            frame[column] = [ODD_NAMES.get(value, value) for value in frame[column]]
    return tables


@pytest.fixture(scope="module")
def first(run_product, contract_tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("consumers")
    contract_tables.write_tables(build_tables(contract_tables), folder / "source")
    return run_product(folder / "home", folder / "source")


@pytest.fixture(scope="module")
def hashes_of_first(first) -> dict[str, str]:
    from orchestration.resources.settings import Settings
    from orchestration.results import table_hashes

    return table_hashes(Settings(home=first.home, source="simulated"))


@pytest.fixture(scope="module")
def second(first, hashes_of_first, run_product):
    return run_product(first.home, first.home.parent / "source")


def test_the_effects_of_both_methods_are_published(first):
    found = first.table(
        "channel_effects",
        "model_name, channel_id, isfinite(mean)",
        f"where model_name in {MODELS} and estimand = 'slope' and exposure_distribution = 'panel_rows'",
    )
    expected = {(model, channel): True for model in MODELS for channel in EXPOSED}
    expected |= {(model, SILENT): None for model in MODELS}
    assert len(found) == len(expected)
    assert {(model, channel): is_finite for model, channel, is_finite in found} == expected


def test_second_opinions_stand_beside_with_the_placebos_mark_and_never_primary(first):
    found = first.table(
        "channel_effects",
        "model_name, channel_id, is_primary, is_identified, not_identified_reason, isfinite(mean)",
        f"where model_name not in {MODELS} and channel_id <> '{SILENT}'",
    )
    assert {row[:2] for row in found} == {
        (method, channel) for method in SECOND_OPINION_METHODS for channel in EXPOSED
    }
    assert {method for method, *_, is_finite in found if is_finite} == set(SECOND_OPINION_METHODS)
    for method, channel, is_primary, is_identified, reason, _ in found:
        assert is_primary is False
        assert ("a diagnostic: " in (reason or "")) is (method in DIAGNOSTICS)
        assert is_identified is (reason is None)
        assert ("lead placebo failed" in (reason or "")) is (channel == FOLLOWING)
    sound = {method for method, channel, _, yes, _, _ in found if yes and channel == "podcast"}
    assert sound >= {"aipw_lagged", "aipw_own_median"}
    segments = first.table("segment_channel_effects", "distinct estimand", "where model_name = 'aipw_lagged'")
    assert segments == [("cate",)]


def test_the_effect_of_podcast_is_about_what_was_put_in(first, contract_tables):
    # there is a purchase in 80 % of the weeks only, and 3 % of the purchases come back
    effect = contract_tables.PODCAST_EFFECT * 0.8 * 0.97
    for model in MODELS:
        ((lower, upper),) = first.table(
            "channel_effects",
            "interval_lower, interval_upper",
            f"where model_name = '{model}' and channel_id = 'podcast' and estimand = 'slope' "
            "and exposure_distribution = 'panel_rows'",
        )
        assert lower < effect < upper


def test_every_row_says_whether_it_is_identified(first):
    found = first.table("channel_effects", "is_identified, not_identified_reason")
    assert found
    assert all(identified == (reason is None) for identified, reason in found)


def test_a_channel_that_follows_purchases_is_published_as_not_identified(first):
    assert first.table(
        "placebo_results",
        "channel_id, passed",
        "where placebo_kind = 'lead' and not passed",
    ) == [(FOLLOWING, False)]
    for table in EFFECT_TABLES:
        rows = first.table(
            table,
            "is_identified, not_identified_reason, isfinite(mean)",
            f"where model_name in {MODELS} and channel_id = '{FOLLOWING}' and estimand <> 'roas'",
        )
        assert rows, table
        for is_identified, reason, is_finite in rows:
            assert is_identified is False
            assert reason.startswith("lead placebo failed: estimate"), reason
            assert reason.endswith("exposure is related to purchases BEFORE it happens"), reason
            assert is_finite  # published all the same


def test_a_channel_that_is_exposed_at_random_is_identified(first):
    for table in EFFECT_TABLES:
        found = first.table(
            table,
            "distinct is_identified, not_identified_reason",
            f"where model_name in {MODELS} and channel_id = 'podcast' and estimand <> 'roas'",
        )
        assert found == [(True, None)], table


def test_a_listed_channel_that_nobody_saw_has_a_row_that_says_so(first):
    found = first.table(
        "channel_effects",
        "model_name, estimand, mean, is_identified, not_identified_reason",
        f"where channel_id = '{SILENT}' order by all",
    )
    models = sorted([*MODELS, "dose_weighted"])  # those that have a slope
    assert found == [(model, "slope", None, False, "no exposure of any consumer") for model in models]
    marts = duckdb.sql(
        "select count(*), sum(exposures_count), count(distinct market_id) "
        f"from '{first.home}/marts/market_channel_periods/*/*.parquet' where channel_id = '{SILENT}'"
    ).fetchall()
    assert marts == [(3 * 30, 0, 3)]


def test_a_consumer_without_purchases_has_effects_with_the_populations_uncertainty(first):
    rows = first.table(
        "consumer_channel_effects",
        "channel_id, estimand, interval_lower, mean, interval_upper, learned_share, is_identified",
        "where consumer_id = 'c59'",
    )
    found = {(channel, estimand): values for channel, estimand, *values in rows}
    assert set(found) == {(c, e) for c in EXPOSED for e in ("slope", "contribution")}
    for channel in EXPOSED:
        lower, mean, upper, learned_share, is_identified = found[channel, "slope"]
        assert lower < mean < upper
        assert 0 <= learned_share <= 1
        assert is_identified is (channel != FOLLOWING)
    assert found[FOLLOWING, "contribution"][:3] == [0.0, 0.0, 0.0]  # nothing bought, so never shown


def test_odd_names_arrive_as_they_are(first):
    def distinct(table, column):
        return {value for (value,) in first.table(table, f"distinct {column}")}

    assert distinct("channel_effects", "channel_id") == {*EXPOSED, SILENT}
    assert distinct("market_channel_effects", "market_id") == {"north", "south", ODD_MARKET}
    consumers = distinct("consumer_channel_effects", "consumer_id")
    assert len(consumers) == 60
    assert ODD_CONSUMER in consumers
    assert ODD_CHANNEL in first.text


def test_roas_is_refused_without_spend(first):
    found = first.table(
        "channel_effects", "mean, is_identified, not_identified_reason", "where estimand = 'roas'"
    )
    assert len(found) == len(MODELS) * len(EXPOSED)
    assert {(mean, identified) for mean, identified, _ in found} == {(None, False)}
    assert all("no spend in marketing_activities" in reason for *_, reason in found)


PUBLISHED = [
    *EFFECT_TABLES,
    "placebo_results",
    "robustness_checks",
    "model_comparison",
    "causal_graph_edges",
    "gate_checks",
    "family_status",
    "data_quality",
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_table_has_rows(first, name):
    assert first.table(name, "count(*)")[0][0] > 0


def test_refits_that_nobody_ran_are_rows_that_say_how_to_run_them(first):
    how = "run job run_robustness, or set MEDIAMIX_ROBUSTNESS_REFITS=true"
    checks = first.table(
        "robustness_checks", "specification, channel_id, mean, reason", "order by channel_id"
    )
    assert {(s, m, r) for s, _, m, r in checks} == {("baseline", None, f"not evaluated: {how}")}
    assert {channel for _, channel, _, _ in checks} == set(EXPOSED)
    compared = first.table("model_comparison", "distinct split_kind, split, value, reason", "order by all")
    assert compared == [
        (kind, "all", None, f"not evaluated: {how}")
        for kind in ("by_consumer", "fitted_rows", "rolling_origin")
    ]
    placebos = first.table(
        "placebo_results",
        "placebo_kind, replicates_count, passed, reason",
        "where placebo_kind like '%hbmmm'",
    )
    assert set(placebos) == {
        (kind, 0, None, f"not evaluated: 0 replicates; {how}")
        for kind in ("reassignment_hbmmm", "history_swap_hbmmm")
    }


def test_refits_are_kept_beside_the_fit_and_taken_up_again(first):
    from assets.carryover import carryover_tables
    from assets.comparison import comparison_metrics
    from assets.hbmmm import read_fit_pointer
    from assets.robustness_fits import RobustnessInput, checks_table, comparison_table, placebo_table
    from assets.status import load_refresh, read_parquet
    from orchestration.resources.settings import Settings

    def given(count: int, refits: bool) -> RobustnessInput:
        settings = Settings(home=first.home, placebo_replicates_count=count, fit_processes_count=1)
        refresh = load_refresh(settings)
        return RobustnessInput(refresh, read_fit_pointer(refresh), refits)

    folder = given(2, True).folder
    try:
        placebo_table(given(2, True))
        kept = read_parquet(folder / "reassignment_hbmmm.parquet", "")
        table = placebo_table(given(3, True))
        more = read_parquet(folder / "reassignment_hbmmm.parquet", "")
        pd.testing.assert_frame_equal(more[more["replicate"] < 3].reset_index(drop=True), kept)
        assert sorted(set(more["replicate"])) == [0, 1, 2, 3]
        assert set(table["reason"]) == {"not evaluated: 3 replicates, 200 needed (run the robustness job)"}
        assert table["actual_estimate"].notna().all()
        shown = placebo_table(given(3, False))
        assert shown["actual_estimate"].tolist() == table["actual_estimate"].tolist()
        checks = checks_table(given(3, True))
        assert f"without market {ODD_MARKET}" in set(checks["specification"])
        assert (checks["mean"].notna() == checks["reason"].isna()).all()
        assert checks.loc[checks["specification"] == "padded panels", "mean"].notna().all()
        assert carryover_tables(given(3, False)) is None
        carried = carryover_tables(given(3, True))
        effects = carried["channel_effects"]
        assert set(effects["horizon"]) == {"immediate", "total"}
        assert set(effects["method"]) == {"hbmmm_carryover"} and effects["mean"].notna().all()
        again = carryover_tables(given(3, False))["channel_effects"]
        assert again["mean"].tolist() == effects["mean"].tolist()
        compared = comparison_table(given(3, True))
        assert compared.loc[compared["method"] == "hbmmm", "value"].notna().any()
        assert "comparison/rolling_origin/hbmmm/rmse" in comparison_metrics(compared)
        kept = comparison_table(given(3, False))
        assert kept["value"].tolist() == pytest.approx(compared["value"].tolist(), nan_ok=True)
        again = checks_table(given(3, False))
        assert again["mean"].tolist() == pytest.approx(checks["mean"].tolist(), nan_ok=True)
    finally:
        shutil.rmtree(folder)  # later runs on this home are compared with the first


def test_refits_of_many_consumers_start_from_a_sample_with_a_fit_of_its_own(first):
    import numpy as np

    from assets.hbmmm import read_fit_pointer
    from assets.robustness_fits import RobustnessInput
    from assets.status import Refresh, load_refresh
    from models.evaluation.splits import consumers_sample
    from orchestration.resources.settings import Settings

    class OfTwenty(Refresh):
        def panel_sample(self, panel):
            return consumers_sample(panel, 20, np.random.default_rng(1)), {}

    refresh = load_refresh(Settings(home=first.home, fit_processes_count=1))
    given = RobustnessInput(OfTwenty(**vars(refresh)), read_fit_pointer(refresh), True)
    try:
        fit, panel = given.fit_and_panel()
        assert panel.consumers_count == 20
        assert fit.consumer_ids.tolist() == panel.consumer_ids.tolist()
        again = given.fit_and_panel()[0]  # kept, not fitted again
        np.testing.assert_array_equal(again.draws, fit.draws)
        whole = RobustnessInput(refresh, given.pointer, True)
        assert len(whole.fit_and_panel()[0].consumer_ids) == whole.sizes["consumers_in_panel"] > 20
    finally:
        shutil.rmtree(given.folder)


def test_effects_say_how_strong_a_confounder_would_have_to_be(first):
    found = first.table(
        "channel_effects",
        "method, robustness_value",
        "where estimand = 'slope' and exposure_distribution = 'panel_rows' and mean is not null",
    )
    for method in ("hbmmm", "within_consumer"):
        values = [value for name, value in found if name == method]
        assert len(values) == len(EXPOSED) and all(0 <= value < 1 for value in values)


def test_the_report_shows_the_published_effects_and_names_as_text(first):
    page = (first.home / "report" / "index.html").read_text(encoding="utf-8")
    assert str(escape(ODD_CHANNEL)) in page and str(escape(ODD_MARKET)) in page
    assert "49" + ODD_CHANNEL.removeprefix("{{7*7}}") not in page  # a name is never a template
    assert "Read with care." in page and "were not evaluated" in page
    written = page[: page.index("<script>")]  # without the charts' library, which has all sorts of letters
    assert ODD_CONSUMER not in page and not re.search(r"\bc\d\d\b", written)  # consumers are never listed
    assert "not identified" in page


def test_the_gate_promoted_the_first_fit(first):
    found = first.rows(
        "select model_name, model_version, decision from "
        "read_parquet('{artefacts}/champions/**/part.parquet', hive_partitioning = false)"
    )
    # 18 weeks with GMV after the pre-period are too few for the response model
    assert sorted(found) == [(MODELS[0], "1", "promoted"), ("mediamix-response", None, "no_champion")]
    checks = first.rows(
        "select distinct outcome from "
        "read_parquet('{artefacts}/gate_checks/family=hbmmm/**/part.parquet', hive_partitioning = false)"
    )
    assert sorted(checks) == [
        ("not_applicable",),
        ("passed",),
    ]  # a first refresh has no champion to be compared with


def test_the_response_model_says_why_it_did_not_run(first):
    (status,) = first.table("family_status", "status, reason", "where family = 'response'")
    assert status[0] == "not_evaluated"
    assert status[1].startswith("18 periods have GMV; a response model needs 20")
    for table in ("response_curves", "channel_contributions"):
        assert first.table(table, "count(*)") == [(0,)]


def test_the_terminal_shows_progress_effects_and_places(first):
    assert re.search(r"\[\d\d:\d\d", first.text)
    for text in (
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
        {"consumer_id": "c00", "market_id": "north", "podcast": exposures, ODD_CHANNEL: 0.0, FOLLOWING: 0.0}
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


def test_one_consumer_is_erased_from_everything_that_a_run_left(second, tmp_path):
    from assets.privacy.erasure import erase
    from models.hbmmm.fit import HBMMMFit
    from orchestration.resources.settings import Settings

    home = shutil.copytree(second.home, tmp_path / "home")
    result = erase(Settings(home=home, source=str(second.home.parent / "source")), ODD_CONSUMER)
    assert result.is_proven, result.scan
    places = {removal.place for removal in result.removals}
    assert {
        "artefacts: saved fits",
        "artefacts: tables",
        "mlartifacts: saved fits",
        "marts: tables",
    } <= places
    folders = [path.parent for path in home.rglob("fit/fit.json")]
    assert len(folders) == 2  # the fit, and its copy in the registered model
    for folder in folders:
        assert ODD_CONSUMER not in HBMMMFit.load(folder).consumer_ids
    table = "artefacts/reporting/consumer_channel_effects.parquet"
    query = f"select * from '{{}}/{table}' where consumer_id != ? order by all"
    before, after = (
        duckdb.execute(query.format(one), [ODD_CONSUMER]).fetchall() for one in (second.home, home)
    )
    assert before == after != []


def test_the_run_in_mlflow_holds_what_the_fit_was(first, run_python):
    from models.hbmmm.config import HBMMMConfig

    done = run_python("-c", READ_RUN, f"sqlite:///{first.home / 'mlflow.db'}")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RUN ")]
    params, metrics, tags, files, data = json.loads(line.removeprefix("RUN "))
    (status,) = first.home.glob("artefacts/panels/as_of_date=*/consumer_panel.json")
    panel = json.loads(status.read_text())
    assert {field.name for field in dataclasses.fields(HBMMMConfig)} <= set(params)
    assert params["seed"] == "20261121"
    assert params["draws"] == str(first.settings["draws_count"])
    assert params["period"] == "week"
    assert params["data_hash"] == panel["content_hash"]
    assert data == [["consumer_periods", panel["content_hash"]]]
    assert tags["mediamix.data_version"] == panel["data_version"]
    assert re.fullmatch("[0-9a-f]{40}", tags["git.commit"])
    assert tags["git.is_dirty"] in ("true", "false")
    assert {"version.numpy", "version.pymc", "version.mlflow", "gate.decision"} <= set(tags)
    assert {"r_hat_max", "ess_min", "divergences_count", "fit_seconds", "peak_memory_mib"} <= set(metrics)
    assert set(files) >= {
        *(f"figures/{name}.png" for name in ("slope_densities", "chain_ranks", "slope_forest")),
        *(f"effects/{name}.csv" for name in EFFECT_TABLES),
        "gate/gate_checks.csv",
    }
