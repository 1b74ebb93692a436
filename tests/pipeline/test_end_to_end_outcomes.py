"""`make run` with another outcome than money: what is kept in which unit, and what the gate lets through."""

import pytest

SMALL = {"simulated_consumers_count": 60, "simulated_markets_count": 1, "simulated_periods_count": 10}
CHANNELS = ["digital", "email", "retargeting", "social", "tv"]


@pytest.fixture(scope="module", params=["log1p", "two_part"])
def outcome(request):
    return request.param


@pytest.fixture(scope="module")
def run(run_product, tmp_path_factory, outcome):
    return run_product(tmp_path_factory.mktemp(outcome) / "home", "simulated", outcome=outcome, **SMALL)


def test_effects_carry_their_unit_and_log_points_claim_no_money(run, outcome):
    rows = run.rows(
        "select estimand, method, unit, kpi, channel_id from "
        "read_parquet('{artefacts}/channel_effects/family=hbmmm/**/*.parquet', hive_partitioning = false) "
        "where isfinite(mean)"
    )
    slopes = {row[1:4] for row in rows if row[0] == "slope"}
    assert sorted({row[4] for row in rows}) == CHANNELS
    if outcome == "log1p":
        assert {row[0] for row in rows} == {"slope", "att_exposed"}
        assert slopes == {("hbmmm", "log points per exposure", "gmv_net_log1p")}
    else:
        assert {"slope", "att_exposed", "contribution"} <= {row[0] for row in rows}
        assert slopes == {("hbmmm_two_part", "USD per exposure", "gmv_net")}


def test_only_a_fit_whose_draws_are_vouched_for_is_published(run, outcome):
    decisions = run.rows(
        "select decision, decided_reason from "
        "read_parquet('{artefacts}/champions/family=hbmmm/**/part.parquet', hive_partitioning = false)"
    )
    ((decision, reason),) = decisions
    if outcome == "log1p":
        assert decision == "promoted"
    else:
        assert decision == "no_champion"
        assert "converged not evaluated" in reason.replace("_", " ")
    published = run.table("channel_effects", "count(*) > 0", "where model_name = 'mediamix-hbmmm'")
    assert published == [(outcome == "log1p",)]


def test_refits_are_not_evaluated_for_another_outcome(run):
    checks = run.rows("select count(*) from read_parquet('{artefacts}/robustness_checks/**/*.parquet')")
    assert checks == [(0,)]
