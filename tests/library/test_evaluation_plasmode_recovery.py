"""Verdicts on known effects: right ones pass, biased ones do not, and the error is that of the replicates."""

import numpy as np
import pandas as pd
import pytest

from models.evaluation.plasmode_recovery import KEYS, count_recovered, judge_differences, judge_zero_levels

CELLS = [("all", "tv", "slope"), ("all", "web", "slope"), ("old", "tv", "slope")]
TRUTH = pd.Series([4.0, 0.0, 2.0], index=pd.MultiIndex.from_tuples(CELLS, names=KEYS[1:]))


def estimates(values, sd=1.0):
    """A frame of {method: value per cell}."""
    index = pd.MultiIndex.from_tuples([(m, *c) for m in values for c in CELLS], names=KEYS)
    return pd.DataFrame({"mean": np.concatenate([*values.values()]), "sd": sd}, index=index)


@pytest.fixture(scope="module")
def cells():
    """`good` finds the truth with an error of 0.5, `half` finds half of it; both start from a bias of 10."""
    rng = np.random.default_rng(0)
    truth = TRUTH.to_numpy()
    injected = [
        estimates(
            {"good": 10 + truth + 0.5 * rng.normal(size=3), "half": 10 + truth / 2 + 0.5 * rng.normal(size=3)}
        )
        for _ in range(40)
    ]
    table = judge_differences(
        estimates({"good": np.full(3, 10.0), "half": np.full(3, 10.0)}, 2.0), injected, TRUTH
    )
    return table.set_index(KEYS)


def test_the_difference_forgets_the_bias_that_both_share_and_its_error_is_that_of_the_replicates(cells):
    good = cells.loc["good"]
    np.testing.assert_allclose(good["difference"], TRUTH.reindex(good.index), atol=3 * 0.5 / np.sqrt(40))
    assert good["error"].between(0.35, 0.65).all()
    np.testing.assert_allclose(good["mean_error"], good["error"] / np.sqrt(40))
    assert good["within_error"].all() and good["within_mean_error"].all()


def test_half_an_effect_is_noticed_but_not_where_there_is_none(cells):
    half = cells.loc["half"]
    assert half["within_error"].tolist() == [False, True, True]  # 2 of 4, 0 of 0, 1 of 2 with an error of 0.5
    assert half["within_mean_error"].tolist() == [False, True, False]
    assert half["within_published_error"].all()  # an analyst whose error is 2 does not notice
    assert half["bias_share"].iloc[0] == pytest.approx(-0.5, abs=0.1)
    assert np.isnan(half["bias_share"].iloc[1])
    assert half["bias_in_published_errors"].iloc[0] == pytest.approx(-1.0, abs=0.2)


def test_counts_by_method_and_level(cells):
    counts = count_recovered(cells.reset_index()).set_index(["method", "level"])
    assert counts["cells"].to_dict() == {
        ("good", "channels"): 2,
        ("good", "groups"): 1,
        ("half", "channels"): 2,
        ("half", "groups"): 1,
    }
    assert counts.loc[("half", "channels"), "within_error"] == 1
    assert counts.loc[("half", "channels"), "largest_bias_share"] == pytest.approx(0.5, abs=0.1)


def test_zero_levels_have_the_share_of_intervals_without_zero():
    rng = np.random.default_rng(1)
    draws = [estimates({"fair": rng.normal(size=3), "naive": 3 + rng.normal(size=3)}) for _ in range(200)]
    table = judge_zero_levels(draws).set_index(KEYS)
    assert (table.loc["fair", "share_significant"] < 0.1).all() and (
        table.loc["fair", "p_value"] > 0.01
    ).all()
    assert (table.loc["naive", "share_significant"] > 0.75).all() and (
        table.loc["naive", "p_value"] < 1e-9
    ).all()
    assert (table.loc["naive", "level"] > 2.7).all() and table["error"].between(0.8, 1.2).all()


def test_what_cannot_be_judged_is_refused():
    one = estimates({"good": np.zeros(3)})
    with pytest.raises(ValueError, match="1 injections show no error"):
        judge_differences(one, [one], TRUTH)
    with pytest.raises(ValueError, match="not given for \\['good', 'old', 'tv', 'slope'\\]"):
        judge_differences(one, [one, one], TRUTH.iloc[:2])
