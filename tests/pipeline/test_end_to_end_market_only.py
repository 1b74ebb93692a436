"""Market-only data through the whole product: what can be made is made, the rest says why not."""

import json

import duckdb
import pandas as pd
import pytest

GRAPH = """
outcome: gmv
channels: [podcast, push]
covariates: [temperature]
edges: [podcast -> gmv, push -> gmv, temperature -> gmv]
"""
LOAD_CHAMPION = """
import sys
import mlflow
import pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/mediamix-response@champion")
print("PREDICTED " + model.predict(pd.read_json(sys.argv[2], dtype={"market_id": str})).to_json(orient="records"))
"""
ROAS = 2.0  # EUR of GMV for each EUR of podcast; push has none


def build_tables(builders):
    """Spend at a tenth of an EUR an impression, a covariate, populations, and two lift tests of which one is orders."""
    tables = builders.build_market_only_tables()
    activities, outcomes = tables["marketing_activities"], tables["market_outcomes"]
    activities["spend_amount"] = (activities["intensity"] * 0.2 / ROAS).round(2)
    activities["currency_code"] = "EUR"
    weeks = sorted(outcomes["period_start_date"].unique())
    treated = activities.query("channel_id == 'podcast' and market_id == 'north'")
    spent = treated[treated["period_start_date"].isin(weeks[10:14])]["spend_amount"].sum() / 2
    test = {
        "lift_test_id": ["podcast in north", "orders"],
        "channel_ids": '["podcast"]',
        "market_ids": '["north"]',
        "start_date": weeks[10],
        "end_date": weeks[13],
        "spend_delta_amount": round(spent, 2),
        "exposures_delta_count": None,
        "lift_amount": round(ROAS * spent, 2),
        "lift_standard_error": round(0.2 * ROAS * spent, 2),
        "kpi": ["gmv", "orders"],
    }
    tables["lift_tests"] = pd.DataFrame(test)
    tables["market_covariates"] = outcomes[["market_id", "period_start_date"]].assign(
        temperature=[float(7 * number % 11) for number in range(len(outcomes))]
    )
    tables["markets"] = pd.DataFrame(
        {"market_id": builders.MARKETS, "name": builders.MARKETS, "population": [900, 1000, 1100]}
    )
    return tables


@pytest.fixture(scope="module")
def market_only(run_product, contract_tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("markets")
    contract_tables.write_tables(build_tables(contract_tables), folder / "source")
    (folder / "source" / "causal_graph.yaml").write_text(GRAPH)
    return run_product(folder / "home", folder / "source")


def test_market_only_data_says_exactly_what_is_not_evaluated(market_only):
    statuses = market_only.table("family_status", "family, status, reason", "order by family")
    reason = "no consumer data"
    others = ("carryover", "causal", "hbmmm", "overlap", "placebo", "within_consumer")
    expected = [(family, "not_evaluated", reason) for family in others]
    ran = [(family, "evaluated", None) for family in ("causal_graph", "response")]
    assert statuses == sorted([*expected, *ran])
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
    consumers = ("segment_channel_effects", "consumer_channel_effects")
    for name in (*consumers, "placebo_results", "robustness_checks", "model_comparison"):
        assert market_only.table(name, "count(*)") == [(0,)]
    pairs = market_only.table("causal_graph_edges", "distinct source_id, target_id", "order by all")
    assert [target for _, target in pairs].count("gmv") == 2  # two channels, and GMV precedes nothing
    assert market_only.table("data_quality", "table_name, reason_code, rows_count", "order by all") == [
        ("lift_tests", "accepted", 2),
        ("market_covariates", "accepted", 90),
        ("market_outcomes", "accepted", 90),
        ("marketing_activities", "accepted", 180),
        ("markets", "accepted", 3),
    ]


def test_channel_effects_hold_the_truth_under_the_graph_that_was_declared(market_only):
    columns = "channel_id, estimand, mean, interval_lower, interval_upper, is_primary, is_identified"
    rows = {row[:2]: row[2:] for row in market_only.table("channel_effects", columns)}
    estimands = ("contribution", "roas", "marginal_roas", "total_effect")
    assert set(rows) == {(channel, name) for channel in ("podcast", "push") for name in estimands}
    assert all(is_primary and is_identified for *_, is_primary, is_identified in rows.values())
    mean, lower, upper, *_ = rows["podcast", "roas"]
    assert lower < ROAS < upper and abs(mean / ROAS - 1) < 0.25
    assert rows["push", "roas"][0] < 0.5  # its prior's median is 1.22
    assert rows["podcast", "total_effect"][:3] == rows["podcast", "contribution"][:3]
    markets = market_only.table("market_channel_effects", "distinct market_id", "order by all")
    assert markets == [("north",), ("south",), ("west",)]


def test_contributions_by_period_and_curves_agree_with_the_effects(market_only):
    brought = dict(
        market_only.table("channel_effects", "channel_id, mean", "where estimand = 'contribution'")
    )
    where = "where market_id is null and component = 'channel' group by channel_id"
    by_period = dict(market_only.table("channel_contributions", "channel_id, sum(mean)", where))
    assert by_period == pytest.approx(brought)
    curve = dict(
        market_only.table("response_curves", "channel_id, mean", "where market_id is null and multiple = 1.0")
    )
    assert curve == pytest.approx(brought)
    expected = market_only.table("channel_contributions", "sum(mean)", "where market_id is not null")
    gmv = duckdb.sql(f"select sum(gmv_net_amount) from '{market_only.home}/marts/market_periods/*/*.parquet'")
    assert float(gmv.fetchall()[0][0]) == pytest.approx(expected[0][0], rel=0.02)


def test_the_gate_and_the_run_in_mlflow_know_the_response_model(market_only):
    checks = market_only.table("gate_checks", "check_name, outcome", "where model_name = 'mediamix-response'")
    names = (
        "converged baseline_sanity data_quality_quarantined_share contributions_add_up baseline_not_negative"
    )
    assert dict(checks) == dict.fromkeys(names.split(), "passed")
    pointer = next(market_only.home.glob("artefacts/fits/response/as_of_date=*/fit.json"))
    facts = json.loads(pointer.read_text())["facts"]
    assert (facts["lift_tests_count"], facts["channels_with_spend_count"]) == (
        1,
        2,
    )  # the test of orders is left out
    assert facts["markets_count"] == 3 and facts["divergences_count"] == 0


def test_the_champion_answers_a_plan_in_a_clean_process_with_pickle_forbidden(
    market_only, run_python, monkeypatch, tmp_path
):
    weeks = ["2023-07-31", "2023-08-07"]
    rows = [
        {"market_id": market, "period_start_date": week, "spend[podcast]": spend, "spend[push]": 0.0}
        | {"control[temperature]": 5.0}
        for market, spend in (("north", 0.0), ("south", 300.0), ("west", 300.0))
        for week in weeks
    ]
    (tmp_path / "plan.json").write_text(json.dumps(rows))
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    store = f"sqlite:///{market_only.home / 'mlflow.db'}"
    done = run_python("-c", LOAD_CHAMPION, store, str(tmp_path / "plan.json"))
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("PREDICTED ")]
    table = pd.DataFrame(json.loads(line.removeprefix("PREDICTED ")))
    assert (table["interval_lower"] < table["mean"]).all() and (table["mean"] < table["interval_upper"]).all()
    mean = table[table["market_id"].notna()].groupby("market_id")["contribution[podcast]"].mean()
    assert mean["south"] - mean["north"] > 300.0  # EUR 300 more a week at ROAS 2, some of it later
    total = table[table["market_id"].isna()]["mean"].sum()
    assert total == pytest.approx(table[table["market_id"].notna()]["mean"].sum())


def test_the_report_says_first_what_the_channels_brought(market_only):
    page = (market_only.home / "report" / "index.html").read_text(encoding="utf-8")
    first_screen = page[: page.index("<nav")]
    assert "For each unit of money spent:" in first_screen
    assert "Read with care." in first_screen and "not evaluated" in first_screen
    assert "Predictive edges" in page
