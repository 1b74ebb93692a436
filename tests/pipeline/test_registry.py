"""The gate: failed and not evaluated block, the champion stays until a better one passes, or a later one."""

import datetime as dt
import math
from types import SimpleNamespace

import pandas as pd
import pytest

from assets.gate_comparisons import ComparisonLimits, held_out_rows, judged_stability
from assets.registry import (
    Champion,
    GateThresholds,
    decide,
    find_champion,
    gate_table,
    quarantined_share,
    response_gate_table,
)
from orchestration.resources.artefacts import write_artefact
from orchestration.resources.settings import Settings
from orchestration.resources.tracking import Tracking

GOOD = {
    "r_hat_max": 1.004,
    "ess_min": 900,
    "divergences_count": 0,
    "e_bfmi_min": 0.8,
    "expected_gmv": 101.0,
    "observed_gmv": 100.0,
}


def outcomes(facts, share=0.01):
    return {row["check_name"]: row["outcome"] for row in gate_table(facts, share, GateThresholds())}


def test_a_good_fit_passes_everything():
    assert set(outcomes(GOOD).values()) == {"passed"}


@pytest.mark.parametrize(
    ("fact", "value", "check"),
    [
        ("r_hat_max", 1.02, "converged"),
        ("r_hat_max", 1.01, "converged"),
        ("ess_min", 400, "converged"),
        ("divergences_count", 1, "converged"),
        ("e_bfmi_min", 0.2, "converged"),
        ("expected_gmv", 110.0, "baseline_sanity"),
    ],
)
def test_each_check_fails_alone(fact, value, check):
    found = outcomes(GOOD | {fact: value})
    assert found.pop(check) == "failed"
    assert set(found.values()) == {"passed"}


@pytest.mark.parametrize("fact", ["r_hat_max", "ess_min", "divergences_count", "e_bfmi_min", "expected_gmv"])
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_missing_number_is_not_evaluated_and_blocks(fact, value):
    rows = gate_table(GOOD | {fact: value}, 0.0, GateThresholds())
    assert sum(row["outcome"] == "not_evaluated" for row in rows) == 1
    decision, champion, reason = decide(rows, "2", Champion("1"))
    assert (decision, champion) == ("kept", "1")
    assert "not_evaluated" in reason


RESPONSE = GOOD | {"identity_deviation": 1e-12, "baseline_negative_probability": 0.01}


@pytest.mark.parametrize(
    ("fact", "value", "check", "outcome"),
    [
        ("identity_deviation", 1e-6, "contributions_add_up", "failed"),
        ("identity_deviation", math.nan, "contributions_add_up", "not_evaluated"),
        ("baseline_negative_probability", 0.5, "baseline_not_negative", "failed"),
        ("baseline_negative_probability", None, "baseline_not_negative", "not_evaluated"),
        ("r_hat_max", 1.02, "converged", "failed"),
    ],
)
def test_the_response_models_gate_has_checks_of_its_own(fact, value, check, outcome):
    good = response_gate_table(RESPONSE, 0.01, GateThresholds())
    assert {row["outcome"] for row in good} == {"passed"} and len(good) == 5
    rows = response_gate_table(RESPONSE | {fact: value}, 0.01, GateThresholds())
    found = {row["check_name"]: row["outcome"] for row in rows}
    assert found.pop(check) == outcome
    assert set(found.values()) == {"passed"}
    assert decide(rows, "2", Champion("1"))[0] == "kept"


IMPORTANCE = {"ess_min": 900, "divergences_count": 0, "expected_gmv": 101.0, "observed_gmv": 100.0}


@pytest.mark.parametrize(
    ("k_hat", "ess", "outcome"),
    [
        (0.36, 900, "passed"),
        (0.5, 900, "failed"),
        (0.6, 900, "failed"),
        (0.36, 400, "failed"),
        (math.inf, 900, "not_evaluated"),
        (math.nan, 900, "not_evaluated"),
        (None, 900, "not_evaluated"),
        (0.36, None, "not_evaluated"),
    ],
)
def test_importance_samples_are_judged_by_k_hat_and_their_size(k_hat, ess, outcome):
    rows = gate_table(IMPORTANCE | {"k_hat_max": k_hat, "ess_min": ess}, 0.01, GateThresholds())
    assert {row["check_name"]: row["outcome"] for row in rows}["converged"] == outcome
    decision = decide(rows, "2", Champion("1"))[0]
    assert decision == ("promoted" if outcome == "passed" else "kept")


def test_too_many_quarantined_rows_block():
    assert outcomes(GOOD, share=0.2)["data_quality_quarantined_share"] == "failed"
    assert outcomes(GOOD, share=None)["data_quality_quarantined_share"] == "not_evaluated"


def test_decisions():
    good = gate_table(GOOD, 0.0, GateThresholds())
    bad = gate_table(GOOD | {"divergences_count": 7}, 0.0, GateThresholds())
    assert decide(good, "1", Champion(None))[:2] == ("promoted", "1")
    assert decide(good, "2", Champion("1"))[:2] == ("promoted", "2")
    assert decide(good, "2", Champion("2"))[:2] == ("kept", "2")
    assert decide(bad, "2", Champion("1"))[:2] == ("kept", "1")
    assert decide(bad, "1", Champion(None))[:2] == ("no_champion", None)
    assert decide(good, None, Champion(None))[:2] == ("no_champion", None)
    assert "divergences 7" in decide(bad, "2", Champion("1"))[2]


def test_a_persons_reason_overrides_what_blocks_and_says_so():
    bad = gate_table(GOOD | {"divergences_count": 7}, 0.0, GateThresholds())
    decision, version, reason = decide(bad, "2", Champion("1"), "checked by hand")
    assert (decision, version) == ("overridden", "2")
    assert reason.startswith("by hand: checked by hand (against converged failed")
    good = gate_table(GOOD, 0.0, GateThresholds())
    assert decide(good, "2", Champion("1"), "not needed")[0] == "promoted"
    assert decide(bad, None, Champion("1"), "no challenger")[:2] == ("kept", "1")


def effects(mean, sd=1.0, ess=1000.0):
    rows = {"channel_id": ["a", "b"], "mean": [mean, 2.0], "standard_deviation": sd, "ess": ess}
    return pd.DataFrame(rows).assign(
        estimand="slope", exposure_distribution="panel_rows", horizon="immediate"
    )


@pytest.mark.parametrize(
    ("mean", "sd", "outcome"),
    [
        (5.0, 1.0, "passed"),
        (5.4, 1.0, "passed"),  # overlap above .8
        (6.0, 1.0, "failed"),
        (6.0, 0.9, "passed"),  # as surer as this, new rows may have moved it so
        (9.0, 0.9, "failed"),
        (math.nan, 1.0, "passed"),  # the other channel is in both
    ],
)
def test_slopes_may_move_as_far_as_new_rows_move_them(mean, sd, outcome):
    found = judged_stability(effects(5.0), effects(mean, sd), ComparisonLimits())
    assert found["outcome"] == outcome
    assert ("promote by hand" in found["text"]) == (outcome == "failed")


def test_no_common_slope_is_not_evaluated():
    nothing = effects(1.0).assign(estimand="contribution")
    assert judged_stability(nothing, effects(1.0), ComparisonLimits())["outcome"] == "not_evaluated"


HELD_OUT = {
    "split": "a to b", "rows_count": 500, "rmse": 9.0, "rmse_seasonal_naive": 10.0, "rmse_champion": 9.0,
    "interval_coverage": 0.94, "interval_level": 0.95, "rival": "1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ("passed", "passed", "passed")),
        ({"rmse": 10.3, "rmse_champion": 10.3}, ("failed", "passed", "passed")),
        ({"rmse_champion": 8.8}, ("passed", "failed", "passed")),
        ({"rmse_champion": None, "rival": None}, ("passed", "not_applicable", "passed")),
        ({"rmse_champion": None}, ("passed", "not_evaluated", "passed")),
        ({"interval_coverage": 0.8}, ("passed", "passed", "failed")),
        ({"rmse": math.nan}, ("not_evaluated", "not_evaluated", "passed")),
    ],
)
def test_held_out_rows_are_compared_with_naive_champion_and_level(changed, expected):
    rows = held_out_rows(HELD_OUT | changed, ComparisonLimits())
    assert tuple(row["outcome"] for row in rows) == expected


def test_what_was_not_measured_blocks_and_what_cannot_apply_does_not():
    missing = held_out_rows({"reason": "no mode was found"}, ComparisonLimits())
    assert {row["outcome"] for row in missing} == {"not_evaluated"}
    short = held_out_rows({"not_applicable": "the panel has 8 periods"}, ComparisonLimits())
    assert {row["outcome"] for row in short} == {"not_applicable"}
    assert decide(short, "2", Champion("1"))[0] == "promoted"
    assert decide(missing, "2", Champion("1"))[0] == "kept"


def test_a_back_fill_is_published_for_its_date_and_moves_no_alias():
    good = gate_table(GOOD, 0.0, GateThresholds())
    bad = gate_table(GOOD | {"divergences_count": 7}, 0.0, GateThresholds())
    first = Champion(None, later_version="3", later_date=dt.date(2024, 3, 31))
    decision, version, reason = decide(good, "4", first)
    assert (decision, version) == ("backfilled", "4")
    assert "version 3, of data up to 2024-03-31, stays champion" in reason
    assert decide(bad, "4", first)[:2] == ("no_champion", None)
    again = Champion("2", later_version="3", later_date=dt.date(2024, 3, 31))
    assert decide(bad, "4", again)[:2] == ("kept", "2")
    assert decide(good, "3", again)[:2] == ("kept", "3")  # the same data at two dates: one version


def test_the_champion_of_an_older_date_is_what_was_decided_then(tmp_path, monkeypatch):
    day, later = dt.date(2024, 2, 29), dt.date(2024, 3, 31)
    refresh = SimpleNamespace(settings=Settings(home=tmp_path), artefacts_dir=tmp_path, as_of_date=day)
    monkeypatch.setattr(Tracking, "alias_version", lambda *_: "3")
    monkeypatch.setattr(Tracking, "version_tag", lambda *_: later.isoformat())
    assert find_champion(refresh) == Champion(None, "3", later)
    decided = pd.DataFrame(
        {"model_name": ["mediamix-hbmmm"], "model_version": ["2"], "decision": ["promoted"]}
    )
    write_artefact(tmp_path, "champions", "hbmmm", day, decided)
    assert find_champion(refresh) == Champion("2", "3", later)
    for tag in (day.isoformat(), None):
        monkeypatch.setattr(Tracking, "version_tag", lambda *_, tag=tag: tag)
        assert find_champion(refresh) == Champion("3")
    monkeypatch.setattr(Tracking, "alias_version", lambda *_: None)
    assert find_champion(refresh) == Champion(None)


def test_quarantined_share_leaves_harmless_reasons_aside():
    quality = pd.DataFrame(
        {
            "reason_code": ["accepted", "exact_duplicate", "out_of_scope", "bad_type"],
            "rows_count": [60, 20, 10, 10],
        }
    )
    assert quarantined_share(quality) == pytest.approx(0.10)
    assert quarantined_share(quality.head(0)) is None


def test_thresholds_are_the_defaults_of_the_settings(tmp_path):
    assert GateThresholds.from_settings(Settings(home=tmp_path, source="simulated")) == GateThresholds()
