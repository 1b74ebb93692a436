"""Placebos by refits: small p for a real effect, none for a null one, the size, and what a small p does not prove."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from models.baselines.ols import pooled_ols_effects
from models.checks.placebo import swap_histories, swappable_share
from models.checks.placebo_refits import (
    COLUMNS,
    HISTORY_SWAP,
    KINDS,
    REASSIGNMENT,
    RefitEstimator,
    clopper_pearson,
    placebo_by_refits,
    placebo_groups,
    placebo_replicates,
    placebo_summary,
    reassignment_groups,
)
from models.errors import ConvergenceError, OverlapError

REPLICATES = 40


@pytest.fixture(scope="module")
def tables(small_fit):
    panel, _, fit, _ = small_fit
    return {
        kind: placebo_by_refits(fit, panel, kind, REPLICATES, replicates_least=REPLICATES).set_index(
            ["estimand", "channel_id"]
        )
        for kind in KINDS
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_real_effect_has_a_small_p_and_a_null_channel_has_not(tables, kind):
    """channel0 moves purchases by 3 USD an exposure, channel1 by nothing though it is targeted more."""
    slopes = tables[kind].loc["slope"]
    print(slopes[["actual_estimate", "estimate", "standard_error", "p_value", "false_positive_rate"]])
    assert slopes.loc["channel0", "p_value"] == pytest.approx(1 / (REPLICATES + 1))  # no placebo came near
    assert slopes.loc["channel1", "p_value"] > 0.1
    assert (slopes["estimate"].abs() < 3 * slopes["standard_error"] / np.sqrt(REPLICATES) + 0.2).all()


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_the_model_have_their_size(tables, kind):
    """Of 80 refits on exchanged histories no more are significant than the binomial's 99.9 % bound allows."""
    slopes = tables[kind].loc["slope"]
    hits = round(float((slopes["false_positive_rate"] * slopes["replicates_count"]).sum()))
    assert binomtest(hits, 2 * REPLICATES, 0.05, alternative="greater").pvalue > 1e-3
    assert slopes["passed"].map(lambda value: value is True).all()


def test_pooled_ols_fails_the_history_swap(small_fit):
    """Negative control: targeting of those who spend survives the swap, and naive OLS finds effects that are none."""
    panel = small_fit[0]
    groups = placebo_groups(panel, HISTORY_SWAP)
    replicates = placebo_replicates(panel, pooled_ols_effects, groups, REPLICATES, seed=(1,))
    summary = placebo_summary(replicates, HISTORY_SWAP, replicates_least=REPLICATES).set_index("channel_id")
    assert (summary["false_positive_rate_lower"] > 0.3).all()
    assert summary["passed"].map(lambda value: value is False).all()
    assert "have a significant effect, 5% expected" in summary.loc["channel1", "reason"]


def test_a_small_p_proves_no_causality(small_fit):
    """The paper's reassignment on characteristics that do not carry the targeting: OLS passes with the right size, and
    gives a null channel the smallest p there is. Only the lead placebo decides identification."""
    panel = small_fit[0]
    groups = placebo_groups(panel, REASSIGNMENT)
    replicates = placebo_replicates(panel, pooled_ols_effects, groups, REPLICATES, seed=(1,))
    summary = placebo_summary(replicates, REASSIGNMENT, replicates_least=REPLICATES).set_index("channel_id")
    null = summary.loc["channel1"]
    assert null["passed"] is True
    assert null["p_value"] == pytest.approx(1 / (REPLICATES + 1)) and null["actual_estimate"] > 1.0


def fake(panel) -> pd.DataFrame:
    """An estimator without cost: the mean product of exposures and GMV."""
    mean = (panel.exposures * panel.gmv[:, None]).mean(axis=0)
    return pd.DataFrame(
        {
            "channel_id": panel.channel_ids,
            "estimand": "slope",
            "exposure_distribution": "panel_rows",
            "mean": mean,
            "standard_deviation": 1.0,
            "interval_lower": mean - 2,
            "interval_upper": mean + 2,
        }
    )


def test_replicates_are_resumed_extended_and_the_same_in_any_order(small_fit):
    panel = small_fit[0]
    groups = placebo_groups(panel, HISTORY_SWAP)
    saved: list[pd.DataFrame] = []
    told: list[float] = []
    whole = placebo_replicates(
        panel, fake, groups, 20, seed=(3,), save=saved.append, progress=lambda text, share: told.append(share)
    )
    assert [len(part) for part in saved] == [
        16,
        32,
        42,
    ]  # two channels, replicate 0 and 20 more, in batches of 8
    assert told[-1] == 1.0
    calls = []

    def counted(given):
        calls.append(given)
        return fake(given)

    resumed = placebo_replicates(panel, counted, groups, 20, seed=(3,), known=saved[0])
    assert len(calls) == 21 - 8
    pd.testing.assert_frame_equal(resumed, whole)
    other = placebo_replicates(panel, fake, groups, 20, seed=(4,))
    assert not np.allclose(other["mean"][2:], whole["mean"][2:])


def test_a_refit_that_fails_is_left_out_and_the_baseline_must_not(small_fit):
    panel = small_fit[0]
    groups = placebo_groups(panel, HISTORY_SWAP)
    calls = []

    def failing(given):
        calls.append(given)
        if len(calls) == 3:
            raise ConvergenceError("no mode")
        return fake(given)

    replicates = placebo_replicates(panel, failing, groups, 5, seed=(3,))
    assert replicates.loc[replicates["mean"].isna(), "replicate"].tolist() == [2]
    assert placebo_summary(replicates, HISTORY_SWAP, replicates_least=4)["replicates_count"].tolist() == [
        4,
        4,
    ]
    calls[:] = [None, None]
    with pytest.raises(ConvergenceError, match="no mode"):
        placebo_replicates(panel, failing, groups, 5, seed=(3,))


def test_two_processes_give_what_one_gives(small_fit):
    panel = small_fit[0]
    groups = placebo_groups(panel, HISTORY_SWAP)
    one, two = (
        placebo_replicates(panel, pooled_ols_effects, groups, 6, seed=(5,), processes_count=count)
        for count in (1, 2)
    )
    pd.testing.assert_frame_equal(one, two)


def test_reassignment_stays_in_the_market_and_among_like_propensities(small_fit):
    panel = small_fit[0]
    groups = reassignment_groups(panel)
    market = panel.consumer_market_index
    assert all(len(set(market[groups == g])) == 1 for g in set(groups))
    assert min(np.bincount(groups)[np.unique(groups)]) >= 2 and swappable_share(groups) == 1.0
    assert len(set(groups[market == 0])) == 4
    swapped = swap_histories(panel, groups, np.random.default_rng(0))
    for consumer in range(0, 120, 17):
        rows = panel.consumer_index == consumer
        others = np.flatnonzero(groups == groups[consumer])
        dense = panel.exposures_by_calendar(0)[:, panel.calendar_index[rows]]
        matches = np.flatnonzero((dense == swapped.exposures[rows, 0]).all(axis=1))
        assert set(matches) & set(others) - {consumer}


def test_too_little_is_not_a_pass(small_fit):
    panel, _, fit, _ = small_fit
    replicates = placebo_replicates(panel, fake, placebo_groups(panel, HISTORY_SWAP), 5, seed=(1,))
    few = placebo_summary(replicates, HISTORY_SWAP)
    assert tuple(few.columns) == COLUMNS
    assert few["passed"].tolist() == [None, None] and few["p_value"].isna().all()
    assert few["reason"].tolist() == ["not evaluated: 5 replicates, 200 needed (run the robustness job)"] * 2
    alone = placebo_summary(replicates, HISTORY_SWAP, swappable=0.2, replicates_least=5)
    assert "20% of consumers have anybody" in alone.loc[0, "reason"]
    nothing = panel.with_exposures(np.zeros_like(panel.exposures))
    with pytest.raises(OverlapError, match="no channel has a propensity"):
        reassignment_groups(nothing)
    with pytest.raises(ValueError, match="no placebo by refits"):
        placebo_groups(panel, "rows")
    assert RefitEstimator(fit).fit is fit


@cache
def _replicates(placebos: tuple[float, ...]) -> pd.DataFrame:
    numbers = np.array([2.0, *placebos])
    return pd.DataFrame(
        {
            "replicate": range(len(numbers)),
            "channel_id": "tv",
            "estimand": "slope",
            "mean": numbers,
            "standard_deviation": 1.0,
            "interval_lower": numbers - 1.96,
            "interval_upper": numbers + 1.96,
        }
    )


def test_table_8_by_hand():
    """Of four placebos one is as far from zero as the estimate of 2, and two have intervals without zero."""
    row = placebo_summary(_replicates((0.0, -2.5, 1.97, 0.5)), REASSIGNMENT, replicates_least=4).iloc[0]
    assert row["p_value"] == 2 / 5
    assert row["false_positive_rate"] == 0.5
    assert row["estimate"] == pytest.approx(-0.0075)
    sd = np.std([0.0, -2.5, 1.97, 0.5], ddof=1)
    assert row["smallest_detectable_effect"] == pytest.approx(2.8016 * sd, rel=1e-4)
    assert row["passed"] is False  # the lower end of 2 of 4 is .068
    exact = binomtest(2, 4).proportion_ci(method="exact")
    assert clopper_pearson(2, 4) == pytest.approx((exact.low, exact.high))
    assert clopper_pearson(0, 4)[0] == 0.0 and clopper_pearson(4, 4)[1] == 1.0
