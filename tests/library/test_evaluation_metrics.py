"""Scores by hand; closed-form CRPS against integration and draws; the log score and intervals are proper."""

import numpy as np
import pytest
from scipy import integrate, stats

from models.evaluation import metrics


def test_point_scores_by_hand():
    outcome, mean = np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 1.0, 5.0, 6.0])
    assert metrics.rmse(outcome, mean) == pytest.approx(np.sqrt(5 / 4))
    assert metrics.mae(outcome, mean) == pytest.approx(3 / 4)
    assert metrics.r_squared(outcome, mean) == pytest.approx(1 - 5 / 14)
    assert metrics.r_squared(outcome, np.full(4, 3.0)) == 0.0
    assert np.isnan(metrics.r_squared(np.ones(3), np.zeros(3)))


def integrated_crps(law, y: float) -> float:
    """The definition: the integral of (F(x) - 1{x >= y})^2."""
    below = integrate.quad(lambda x: law.cdf(x) ** 2, -np.inf, y)[0]
    return below + integrate.quad(lambda x: law.sf(x) ** 2, y, np.inf)[0]


@pytest.mark.parametrize("y", [-3.0, 0.2, 1.0, 4.5])
def test_closed_crps_is_the_integral_that_defines_it(y: float):
    at = np.array([y])
    normal = metrics.crps_normal(at, np.array([0.7]), np.array([1.8]))[0]
    assert normal == pytest.approx(integrated_crps(stats.norm(0.7, 1.8), y), rel=1e-6)
    n = 4.5
    sd = 1.8 * np.sqrt(n / (n - 2))
    t = metrics.crps_student_t(at, np.array([0.7]), np.array([sd]), np.array([n]))[0]
    assert t == pytest.approx(integrated_crps(stats.t(n, 0.7, 1.8), y), rel=1e-6)


def test_limits_many_degrees_are_normal_and_a_point_scores_its_absolute_error():
    y, m, s = np.array([0.4, -1.0]), np.zeros(2), np.array([1.0, 2.0])
    normal = metrics.crps_normal(y, m, s)
    np.testing.assert_allclose(metrics.crps_student_t(y, m, s, np.array([1e6, np.inf])), normal, rtol=1e-5)
    np.testing.assert_allclose(metrics.crps_normal(y, m, np.zeros(2)), np.abs(y))
    huge = metrics.log_density(y, m, s, np.array([1e7, np.inf]))
    np.testing.assert_allclose(huge, metrics.log_density(y, m, s), atol=1e-5)


@pytest.mark.parametrize("score", ["crps", "log"])
def test_the_true_distribution_scores_best(score: str):
    """Both scores are proper: they punish sds too small and too large, where RMSE sees nothing."""
    y = np.random.default_rng(3).normal(0, 2.0, 20_000)
    zero = np.zeros(len(y))
    losses = {
        sd: metrics.crps_normal(y, zero, np.full(len(y), sd)).mean()
        if score == "crps"
        else -metrics.log_score(y, zero, np.full(len(y), sd))
        for sd in (1.0, 2.0, 4.0)
    }
    assert min(losses, key=losses.get) == 2.0


def test_intervals_by_hand_and_as_often_right_as_they_say():
    lower, upper = metrics.interval(np.array([1.0]), np.array([2.0]), 0.9)
    assert (lower[0], upper[0]) == pytest.approx((1 - 2 * 1.6448536, 1 + 2 * 1.6448536))
    assert metrics.interval_coverage(np.array([0.0, 5.0]), np.array([0.0, 0.0]), np.array([1.0, 4.0])) == 0.5
    assert metrics.interval_width(np.array([0.0, 1.0]), np.array([1.0, 4.0])) == 2.0
    rng, n = np.random.default_rng(4), 20_000
    y, freedom = rng.standard_t(4, n), np.full(n, 4.0)
    sd = np.full(n, np.sqrt(2.0))
    covered = metrics.interval_coverage(y, *metrics.interval(np.zeros(n), sd, 0.95, freedom))
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / n))


def test_t_density_is_scipys():
    y = np.array([0.3, 2.0])
    sd = np.array([1.0, 3.0])
    expected = stats.t.logpdf(y, 5, 1.0, sd * np.sqrt(3 / 5))
    np.testing.assert_allclose(metrics.log_density(y, np.ones(2), sd, np.full(2, 5.0)), expected)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="common shape"):
        metrics.rmse(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="common shape"):
        metrics.mae(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="point prediction"):
        metrics.log_score(np.zeros(1), np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.interval(np.zeros(1), np.ones(1), 95)
