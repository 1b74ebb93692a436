"""Bounds on known worlds, by hand: errors of means, three outcomes, exact binomial limits."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest

from models.evaluation.acceptance import (
    ALL_REAL,
    channel_verdicts,
    false_alarms,
    market_errors,
    market_verdicts,
    order_verdict,
    relative_table,
    segment_orders,
    upper_limit,
    with_contribution_sums,
)

NULL = "null"


def scores(worlds: int = 20, **changes: float) -> pd.DataFrame:
    """Slopes and contributions of tv, email and a null channel: exact but for `changes` (name -> added to the mean)."""
    rows = []
    for seed in range(worlds):
        for channel, slope, total in (("tv", 2.0, 100.0), ("email", 4.0, 300.0), (NULL, 0.0, 0.0)):
            for estimand, truth in (("slope", slope), ("contribution", total)):
                mean = truth + changes.get(f"{estimand}_{channel}", 0.0)
                rows.append((seed, channel, estimand, truth, mean + 0.01 * (-1) ** seed))
    frame = pd.DataFrame(rows, columns=["seed", "channel_id", "estimand", "truth", "mean"])
    return frame.assign(
        world="w",
        method="m",
        exposure_distribution="panel_rows",
        standard_deviation=0.1,
        interval_lower=frame["mean"] - 0.2,
        interval_upper=frame["mean"] + 0.2,
        gmv=1000.0,
    )


def verdicts(frame: pd.DataFrame) -> dict[tuple[str, str], bool | None]:
    table = relative_table(with_contribution_sums(frame, NULL))
    found = channel_verdicts(table, world="w", method="m", null_channel=NULL)
    return {(v.criterion.split(",")[0], v.subject): v.passed for v in found}


def test_relative_table_by_hand():
    frame = scores(4, slope_tv=0.5, contribution_null=30.0)
    table = relative_table(with_contribution_sums(frame, NULL)).set_index(["channel_id", "estimand"])
    tv = table.loc[("tv", "slope")]
    assert tv["relative_error"] == pytest.approx(0.25)
    error_sd = 0.01 * np.sqrt(4 / 3)
    assert tv["relative_monte_carlo_error"] == pytest.approx(error_sd / 2 / 2.0)
    assert tv["coverage"] == 0 and tv["coverage_p_value"] == pytest.approx(0.07**4)
    null = table.loc[(NULL, "contribution")]
    assert np.isnan(null["relative_error"]) and null["gmv_share"] == pytest.approx(0.03)
    total = table.loc[(ALL_REAL, "contribution")]
    assert total["truth"] == 400 and total["relative_error"] == pytest.approx(0.0, abs=1e-12)
    assert total["relative_monte_carlo_error"] == pytest.approx(2 * error_sd / 2 / 400)
    assert np.isnan(total["coverage"]) and np.isnan(total["coverage_p_value"])


def test_coverage_is_judged_by_the_exact_binomial():
    frame = scores(20)
    missed = (frame["channel_id"] == "tv") & (frame["estimand"] == "slope") & (frame["seed"] < 4)
    frame.loc[missed, "interval_lower"] = 9.0
    table = relative_table(frame).set_index(["channel_id", "estimand"])
    assert table.loc[("tv", "slope"), "coverage_p_value"] == pytest.approx(binom.cdf(16, 20, 0.93))
    assert verdicts(frame)["coverage of 95 % intervals", "tv"] is False
    frame.loc[missed & (frame["seed"] > 2), "interval_lower"] = 0.0
    assert verdicts(frame)["coverage of 95 % intervals", "tv"] is True


def test_an_estimate_that_does_not_exist_has_no_share_in_means_nor_in_sums():
    frame = scores(3)
    frame.loc[(frame["seed"] == 0) & (frame["channel_id"] == "tv"), "mean"] = np.nan
    table = relative_table(with_contribution_sums(frame, NULL)).set_index(["channel_id", "estimand"])
    assert table.loc[("tv", "slope"), "worlds"] == 2
    assert table.loc[(ALL_REAL, "contribution"), "worlds"] == 2
    assert table.loc[("email", "slope"), "worlds"] == 3


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, set()),
        ({"slope_tv": 0.31}, {("effect of one more exposure", "tv"), ("coverage of 95 % intervals", "tv")}),
        ({"slope_email": -0.59}, {("coverage of 95 % intervals", "email")}),
        ({"slope_null": 0.3}, {("coverage of 95 % intervals", NULL)}),
        ({"contribution_tv": 21.0}, {("contribution", "tv")}),
        ({"contribution_tv": 19.0, "contribution_email": 22.0}, {("contributions", ALL_REAL)}),
        ({"contribution_tv": -19.0, "contribution_email": 22.0}, set()),
        ({"contribution_null": -10.5}, {("contribution in % of GMV", NULL)}),
    ],
)
def test_each_bound_bites_and_only_where_it_should(changes, broken):
    found = verdicts(scores(20, **changes))
    assert {key for key, passed in found.items() if passed is False} == broken
    assert None not in found.values()
    assert len(found) == 2 + 3 + 2 + 1 + 1


def test_fewer_than_twenty_worlds_are_not_an_evaluation():
    assert set(verdicts(scores(19)).values()) == {None}


def test_segment_orders_and_their_three_outcomes():
    pairs = pd.DataFrame(
        {
            "world": "w",
            "method": "m",
            "channel_id": ["tv"] * 4,
            "estimated_gap": [1.0, -1.0, -2.0, 1.0],
            "standard_error": [1.0, 1.0, 1.0, 1.0],
            "truth_gap": [3.1, 2.9, -4.0, -3.5],
        }
    )
    table = segment_orders(pairs)
    row = table.iloc[0]
    assert (row["pairs"], row["decidable"], row["right"], row["wrong"]) == (4, 3, 2, 1)
    assert row["largest_gap"] == 4.0
    found = order_verdict(table, world="w", method="m")
    assert found.value == pytest.approx(2 / 3) and found.passed is False
    assert order_verdict(segment_orders(pairs[:3]), world="w", method="m").passed is True
    assert order_verdict(segment_orders(pairs[1:2]), world="w", method="m").passed is None


def test_market_errors_must_be_below_every_rival():
    def rows(method: str, *means: float) -> pd.DataFrame:
        return pd.DataFrame(
            {"world": "w", "method": method, "channel_id": "tv", "mean": means, "truth": [1.0, 2.0]}
        )

    frame = pd.concat([rows("a", 1.1, 2.1), rows("a_pooled", 1.5, 1.5), rows("b", 1.0, 2.3)])
    ask = {"world": "w", "method": "a", "null_channel": NULL}
    few = market_verdicts(frame.assign(seed=0), rivals=("b",), **ask)
    assert few[0].passed is None  # two markets decide nothing
    frame = pd.concat([frame.assign(seed=seed) for seed in range(15)])
    assert market_errors(frame).set_index("method")["rmse"].round(6).to_dict() == {
        "a": 0.1, "a_pooled": 0.5, "b": round(0.3 / np.sqrt(2), 6),
    }  # fmt: skip
    assert market_verdicts(frame, rivals=("a_pooled", "b"), **ask)[0].passed is True
    assert market_verdicts(frame, rivals=("a_pooled", "missing"), **ask)[0].passed is None
    assert market_verdicts(frame, rivals=("a",), **(ask | {"method": "b"}))[0].passed is False
    assert market_verdicts(frame, rivals=("b",), **(ask | {"null_channel": "tv"})) == []


def test_a_rival_is_judged_with_the_error_of_the_paired_difference():
    errors = pd.DataFrame({"seed": [0, 1, 2, 3], "a": [1.0, 2.0, 1.0, 2.0], "b": [2.0, 3.0, 2.0, 3.0]})
    frame = errors.melt(id_vars="seed", var_name="method", value_name="mean").assign(
        world="w", channel_id="tv", truth=0.0
    )
    bound = market_verdicts(frame, world="w", method="a", null_channel=NULL, rivals=("b",))[0].bound
    # squared: a 1, 4, 1, 4; b 4, 9, 4, 9 (mean 6.5); differences -3, -5, -3, -5: mean -4, standard error 0.577
    assert bound == "below b 2.55 (-61.5 +- 8.9 %)"


def test_upper_limits_are_clopper_pearsons():
    for events, trials in ((0, 20), (9, 200), (10, 200), (200, 200)):
        exact = binomtest(events, trials, alternative="less").proportion_ci(0.95, method="exact").high
        assert upper_limit(events, trials) == pytest.approx(exact)
    assert upper_limit(9, 200) <= 0.08 < upper_limit(10, 200)  # what 8 % allows of 200 worlds
    with pytest.raises(ValueError, match="3 events in 2 trials"):
        upper_limit(3, 2)


def test_false_alarms_by_hand():
    frame = scores(4)
    null = (frame["channel_id"] == NULL) & (frame["estimand"] == "slope")
    frame.loc[null & (frame["seed"] == 0), ["interval_lower", "interval_upper"]] = [0.1, 0.5]
    frame.loc[null & (frame["seed"] == 1), ["interval_lower", "interval_upper"]] = [-0.5, -0.1]
    frame.loc[null & (frame["seed"] == 2), ["mean", "interval_lower", "interval_upper"]] = np.nan
    row = false_alarms(frame, NULL).set_index("estimand").loc["slope"]
    assert (row["worlds"], row["alarms"]) == (3, 2)
    assert row["rate"] == pytest.approx(2 / 3)
    assert row["upper_limit"] == pytest.approx(upper_limit(2, 3))
