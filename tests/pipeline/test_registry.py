"""The gate: four outcomes, failed and not evaluated block, the champion stays until a better one passes."""

import math

import pandas as pd
import pytest

from assets.registry import GateThresholds, decide, gate_table, quarantined_share

GOOD = {
    "r_hat_max": 1.004,
    "ess_min": 900,
    "divergences_count": 0,
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
        ("r_hat_max", 1.02, "convergence_r_hat"),
        ("ess_min", 399, "convergence_ess"),
        ("divergences_count", 1, "convergence_divergences"),
        ("expected_gmv", 110.0, "baseline_sanity"),
    ],
)
def test_each_check_fails_alone(fact, value, check):
    found = outcomes(GOOD | {fact: value})
    assert found.pop(check) == "failed"
    assert set(found.values()) == {"passed"}


@pytest.mark.parametrize("fact", ["r_hat_max", "ess_min", "divergences_count", "expected_gmv"])
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_missing_number_is_not_evaluated_and_blocks(fact, value):
    rows = gate_table(GOOD | {fact: value}, 0.0, GateThresholds())
    assert sum(row["outcome"] == "not_evaluated" for row in rows) == 1
    decision, champion, reason = decide(rows, "2", "1")
    assert (decision, champion) == ("kept", "1")
    assert "not_evaluated" in reason


def test_too_many_quarantined_rows_block():
    assert outcomes(GOOD, share=0.2)["data_quality_quarantined_share"] == "failed"
    assert outcomes(GOOD, share=None)["data_quality_quarantined_share"] == "not_evaluated"


def test_decisions():
    good = gate_table(GOOD, 0.0, GateThresholds())
    bad = gate_table(GOOD | {"divergences_count": 7}, 0.0, GateThresholds())
    assert decide(good, "1", None)[:2] == ("promoted", "1")
    assert decide(good, "2", "1")[:2] == ("promoted", "2")
    assert decide(good, "2", "2")[:2] == ("kept", "2")
    assert decide(bad, "2", "1")[:2] == ("kept", "1")
    assert decide(bad, "1", None)[:2] == ("no_champion", None)
    assert decide(good, None, None)[:2] == ("no_champion", None)
    assert "divergences" in decide(bad, "2", "1")[2]


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
    from orchestration.resources.settings import Settings

    assert GateThresholds.from_settings(Settings(home=tmp_path, source="simulated")) == GateThresholds()
