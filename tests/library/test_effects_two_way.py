"""Errors shared by consumers and periods: parity with dummies-by-hand sums, what they are for, where they end."""

import numpy as np
import pytest
import statsmodels.api as sm

from models.effects.consumer_bootstrap import bootstrap_clusters, ratio_difference
from models.effects.two_way import influence_values, two_way_error

CONSUMERS, PERIODS = 60, 25
WORLDS = 150


def shared_world(rng: np.random.Generator, shock_sd: float):
    """A mean of consumer levels, period shocks and noise: (R,) values, consumers, periods; the truth is 5."""
    who, when = np.divmod(np.arange(CONSUMERS * PERIODS), PERIODS)
    level, shock = rng.normal(size=CONSUMERS), shock_sd * rng.normal(size=PERIODS)
    return 5 + level[who] + shock[when] + rng.normal(size=len(who)), who, when


def mean_of(values: np.ndarray, who: np.ndarray, when: np.ndarray | None, rng: np.random.Generator):
    ones = np.ones(len(values))
    terms = np.column_stack([values, ones, 0 * ones, ones])
    return bootstrap_clusters(terms, who, when, ratio_difference, rng, draws_count=300)


def test_influence_values_are_what_taking_a_row_out_does():
    rng = np.random.default_rng(1)
    terms = rng.gamma(2.0, size=(4_000, 4))
    influence = influence_values(terms, ratio_difference)
    whole = ratio_difference(terms.sum(axis=0)[None])[0]
    for row in (0, 17, 3_999):
        without = ratio_difference((terms.sum(axis=0) - terms[row])[None])[0]
        assert influence[row] == pytest.approx(whole - without, rel=2e-3, abs=1e-8)
    assert abs(influence.sum()) < 1e-6


def test_variance_is_that_of_two_way_clustering_in_a_regression():
    """On a mean, where influences are residuals over R: statsmodels' two-way covariance, without its corrections."""
    values, who, when = shared_world(np.random.default_rng(2), 1.0)
    ones = np.ones(len(values))
    influence = influence_values(np.column_stack([values, ones, 0 * ones, ones]), ratio_difference)
    error = two_way_error(influence, who, when)
    fit = sm.OLS(values, ones).fit()
    parts = []
    for groups in (who, when):
        settings = {"groups": groups, "use_correction": False}
        parts.append(fit.get_robustcov_results("cluster", **settings).bse[0] ** 2)
    rows = fit.get_robustcov_results("HC0").bse[0] ** 2
    assert error.variance_consumers == pytest.approx(parts[0] * CONSUMERS / (CONSUMERS - 1), rel=1e-6)
    assert 0.8 * PERIODS < error.periods_effective <= PERIODS
    periods = parts[1] * error.periods_effective / (error.periods_effective - 1)
    assert error.variance_periods == pytest.approx(periods, rel=1e-6)
    assert error.variance == pytest.approx(error.variance_consumers + periods - rows, rel=1e-6)
    assert error.error_ratio == pytest.approx(np.sqrt(error.variance / error.variance_consumers))


@pytest.mark.parametrize("shock_sd", [0.0, 1.0])
def test_intervals_cover_with_shocks_in_common_and_those_of_consumers_alone_do_not(shock_sd: float):
    hits = {"both": [], "consumers": []}
    for seed in range(WORLDS):
        world = shared_world(np.random.default_rng([3, seed]), shock_sd)
        for name, when in (("both", world[2]), ("consumers", None)):
            found = mean_of(*world[:2], when, np.random.default_rng(4))
            hits[name].append(found.interval_lower < 5 < found.interval_upper)
    assert 0.90 <= np.mean(hits["both"]) <= 0.99
    if shock_sd:
        assert np.mean(hits["consumers"]) < 0.85
    else:
        assert np.mean(hits["consumers"]) > 0.88


def test_few_periods_are_counted_and_said():
    """A score that lives in one of the periods: nothing can be said of how much periods differ."""
    values, who, when = shared_world(np.random.default_rng(5), 1.0)
    weight = np.where(when == 3, 1.0, 1e-4)
    terms = np.column_stack([weight * values, weight, 0 * weight, np.ones(len(values))])
    one = bootstrap_clusters(terms, who, when, ratio_difference, np.random.default_rng(6), draws_count=100)
    assert one.periods_effective == pytest.approx(1.0, abs=0.01)
    assert one.error_ratio == 1.0
    assert np.isnan(mean_of(values, who, None, np.random.default_rng(6)).periods_effective)
    three = np.where(np.isin(when, (3, 9, 14)), 1.0, 0.0)
    terms = np.column_stack([three * values, three, 0 * three, np.ones(len(values))])
    found = bootstrap_clusters(terms, who, when, ratio_difference, np.random.default_rng(6), draws_count=100)
    assert 2.3 < found.periods_effective <= 3.0
    assert found.degrees_of_freedom < 3
    assert found.interval_upper - found.estimate > 3 * found.standard_error
