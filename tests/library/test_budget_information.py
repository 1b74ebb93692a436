"""Value of information held to the closed form of two actions and normal beliefs; power to its definition."""

import numpy as np
import pytest
from scipy.stats import norm

from models.budget.config import BudgetConfig
from models.budget.information_value import (
    information_value,
    perfect_information_value,
    reweighted,
)
from models.budget.next_experiments import next_experiments
from models.budget.power import detectable_lift, power
from models.plans.spend_plan import SpendPlan
from models.response.geo_tests import GeoForecast, GeoTest
from models.response.planned_spend import PlannedResponse

DRAWS = 4000


def normal_draws(count: int = DRAWS) -> np.ndarray:
    """Quantiles in random order: a standard normal without noise of its own."""
    return np.random.default_rng(0).permutation(norm.ppf((np.arange(count) + 0.5) / count))


def two_actions(mean: float, spread: float) -> float:
    """E max(0, m) - max(0, mean), m ~ N(mean, spread^2): Raiffa and Schlaifer's unit normal loss."""
    return spread * norm.pdf(mean / spread) + mean * norm.cdf(mean / spread) - max(mean, 0.0)


@pytest.mark.parametrize("mean", [0.0, 0.7, -1.0])
@pytest.mark.parametrize("error", [0.1, 0.5, 1.0, 3.0])
def test_two_actions_and_normal_beliefs_have_their_closed_form(mean: float, error: float) -> None:
    """theta ~ N(mean, 2^2), measured as theta / 2 with error: the posterior mean's sd is 4 / sqrt(4 + (2 error)^2)."""
    theta = mean + 2.0 * normal_draws()
    truth = two_actions(mean, 4.0 / np.sqrt(4.0 + (2.0 * error) ** 2))
    found = information_value(np.stack([np.zeros(DRAWS), theta], axis=1), theta / 2.0, error)
    assert found.gain == pytest.approx(truth, rel=0.02, abs=0.01)
    assert found.gain_same_draws == pytest.approx(truth, rel=0.02, abs=0.01)
    assert found.standard_error == error and found.effective_draws > 300


def test_what_a_test_does_not_measure_is_not_learned() -> None:
    """signal = theta + other: E(theta | y) has sd s^2 / sqrt(s^2 + o^2 + error^2); a signal of the other alone: 0."""
    theta, other = normal_draws(), np.random.default_rng(1).permutation(normal_draws())
    gains = np.stack([np.zeros(DRAWS), theta - 0.2], axis=1)
    found = information_value(gains, theta + 0.8 * other, 0.6)
    assert found.gain == pytest.approx(two_actions(-0.2, 1 / np.sqrt(1 + 0.64 + 0.36)), rel=0.05)
    nothing = information_value(gains, other, 0.3)
    assert nothing.gain < 0.01 and nothing.gain <= nothing.gain_same_draws < 0.02


def test_three_decisions_agree_with_brute_force() -> None:
    """Outcomes drawn, posterior means from the normal regression that is exact here, in place of reweighted draws."""
    rng = np.random.default_rng(2)
    root = np.array([[1.0, 0.0, 0.0], [0.4, 0.8, 0.0], [-0.3, 0.5, 0.6]])
    drawn = rng.standard_normal((DRAWS, 3)) @ root.T
    gains, signal, error = (
        drawn @ np.array([[0.0, 1.0, -0.7], [0.0, 0.5, 0.9], [0.0, -0.2, 1.1]]),
        drawn[:, 0],
        0.5,
    )
    found = information_value(gains, signal, error)
    outcomes = signal + error * rng.standard_normal(DRAWS)
    slopes = np.array([np.cov(g, signal)[0, 1] for g in gains.T]) / (signal.var(ddof=1) + error**2)
    means = gains.mean(axis=0) + slopes * (outcomes - signal.mean())[:, None]
    brute = means.max(axis=1).mean() - gains.mean(axis=0).max()
    assert found.gain == pytest.approx(brute, rel=0.06)
    assert found.gain <= found.gain_same_draws < perfect_information_value(gains)


def test_too_precise_a_test_is_understated_and_says_so() -> None:
    """400 draws cannot tell outcomes apart to a thousandth; the value stays below that of knowing everything."""
    theta = normal_draws(400)
    gains = np.stack([np.zeros(400), theta], axis=1)
    found = information_value(gains, theta, 1e-4)
    assert found.standard_error > 1e-2 and found.effective_draws >= 60
    everything = perfect_information_value(gains)
    assert everything == pytest.approx(norm.pdf(0.0), rel=0.01)
    assert 0.95 * everything < found.gain <= everything
    with pytest.raises(ValueError, match="too few to weigh anew"):
        information_value(gains[:50], theta[:50], 1.0)
    with pytest.raises(ValueError, match="not finite"):
        information_value(np.full_like(gains, np.inf), theta, 1.0)


def test_draws_are_weighed_by_the_likelihood() -> None:
    signal = np.array([0.0, 1.0, 3.0])
    expected = norm.pdf(1.2, signal, 0.7)
    assert reweighted(signal, 0.7, 1.2) == pytest.approx(expected / expected.sum())


def test_power_is_the_share_of_estimates_that_are_called() -> None:
    rng = np.random.default_rng(3)
    estimates = 2.0 + 0.9 * rng.standard_normal(200_000)
    called = (np.abs(estimates) > norm.ppf(0.95) * 0.9).mean()
    assert power(2.0, 0.9, 0.1) == pytest.approx(called, abs=0.004)
    assert power(0.0, 1.0, 0.1) == pytest.approx(0.1)
    assert power(detectable_lift(0.9, 0.8, 0.1), 0.9, 0.1) == pytest.approx(0.8, abs=1e-4)
    for wrong in ({"standard_error": 0.0}, {"standard_error": 1.0, "level": 1.0}):
        with pytest.raises(ValueError, match="must"):
            power(1.0, **wrong)
    with pytest.raises(ValueError, match="wanted_power"):
        detectable_lift(1.0, 0.05)


def test_a_tests_value_to_the_budget_has_its_closed_form() -> None:
    """Two channels of log curves, one's strength b ~ N(3, 1) measured with an error: after the test the best plan has
    x + p in proportion to E(b | y) and 3, so that its value is one integral over E(b | y)."""
    b, p, total = 3.0 + normal_draws(1000), 0.5, 4.0
    plan = SpendPlan(
        ("m",),
        ("a", "b"),
        np.array(["2026-01-05"], dtype="datetime64[D]"),
        np.full((1, 1, 2), total / 2),
        "USD",
    )
    effects = np.stack([b, np.full(1000, 3.0)], axis=1)[..., None]
    blank = np.zeros((2, 1, 0))
    response = PlannedResponse(
        plan, "log", np.ones((1000, 2, 1)), np.full((1000, 2, 1), p), effects, np.ones((1, 2)), blank, blank
    )

    def best(mean: np.ndarray) -> np.ndarray:
        share = np.clip((total + 2 * p) * mean / (mean + 3.0), p, total + p)
        return mean * np.log(share / p) + 3.0 * np.log((total + 2 * p - share) / p)

    found = []
    for error in (0.5, 1.5):
        test = GeoForecast(GeoTest("t", ("a",), ("m",), 1, 1.0), 1.0, b, b, error)
        found.append(next_experiments(response, [test], BudgetConfig(bounds=(0.0, 2.0))).table.iloc[0])
        means = 3.0 + normal_draws(20001) / np.sqrt(1.0 + error**2)
        truth = best(means).mean() - best(np.array([3.0]))[0]
        assert 0.8 * truth < found[-1]["information_gain"] < 1.02 * truth
        assert found[-1]["information_gain_same_draws"] < 1.05 * truth
    assert found[0]["information_gain"] > 1.5 * found[1]["information_gain"]
