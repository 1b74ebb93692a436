"""Information criteria against brute force: refits without each point, dense normals, moments known in closed form."""

import numpy as np
import pytest
from scipy import special, stats

from models.evaluation.information import (
    InformationCriterion,
    conditional_log_likelihood,
    dic,
    difference,
    exact_loo,
    marginal_log_likelihood,
    waic,
)

CONSUMERS, ROWS, NOISE = 5, 4, 0.7


@pytest.fixture(scope="module")
def world() -> dict:
    """y_it = m'x + b_i'x + e, b_i ~ N(0, V): the stacked design has a shared block and one block a consumer."""
    rng = np.random.default_rng(21)
    who = np.repeat(np.arange(CONSUMERS), ROWS)
    x = np.column_stack([np.ones(len(who)), rng.normal(size=len(who))])
    covariance = np.array([[1.0, 0.2], [0.2, 0.4]])
    effects = rng.multivariate_normal(np.zeros(2), covariance, CONSUMERS)
    y = x @ [1.0, 0.5] + np.einsum("rk,rk->r", x, effects[who]) + NOISE * rng.normal(size=len(who))
    design = np.zeros((len(who), 2 + 2 * CONSUMERS))
    design[:, :2] = x
    for i in range(CONSUMERS):
        design[who == i, 2 + 2 * i : 4 + 2 * i] = x[who == i]
    prior = np.zeros((design.shape[1],) * 2)
    prior[:2, :2] = 9.0 * np.eye(2)
    for i in range(CONSUMERS):
        prior[2 + 2 * i : 4 + 2 * i, 2 + 2 * i : 4 + 2 * i] = covariance
    return {"y": y, "x": x, "who": who, "design": design, "prior": prior, "covariance": covariance}


def refit_density(world: dict, left_out: np.ndarray, noise: np.ndarray, mean: np.ndarray) -> float:
    """Posterior of all coefficients from the other rows, then the predictive density of those left out."""
    rest = ~left_out
    x, y, prior = world["design"], world["y"], world["prior"]
    precision = np.linalg.inv(prior) + (x[rest] / noise[rest, None]).T @ x[rest]
    covariance = np.linalg.inv(precision)
    center = covariance @ (np.linalg.solve(prior, mean) + x[rest].T @ (y[rest] / noise[rest]))
    wide = x[left_out] @ covariance @ x[left_out].T + np.diag(noise[left_out])
    return stats.multivariate_normal.logpdf(y[left_out], x[left_out] @ center, wide)


@pytest.mark.parametrize("uneven", [False, True])
def test_exact_loo_is_what_refitting_without_each_row_gives(world: dict, uneven: bool):
    n, rng = len(world["y"]), np.random.default_rng(22)
    noise = rng.uniform(0.3, 0.8, n) if uneven else np.full(n, NOISE**2)
    mean = rng.normal(size=world["design"].shape[1]) if uneven else np.zeros(world["design"].shape[1])
    found = exact_loo(world["y"], world["design"], world["prior"], noise, mean if uneven else None)
    expected = [refit_density(world, np.arange(n) == i, noise, mean) for i in range(n)]
    np.testing.assert_allclose(found.pointwise, -2 * np.array(expected), rtol=1e-8)
    assert found.name == "conditional LOO" and found.points_count == n
    assert found.value == pytest.approx(-2 * sum(expected))
    assert found.standard_error == pytest.approx(np.sqrt(n) * np.std(found.pointwise, ddof=1))


def test_marginal_loo_is_what_refitting_without_each_consumer_gives(world: dict):
    noise = np.full(len(world["y"]), NOISE**2)
    found = exact_loo(world["y"], world["design"], world["prior"], NOISE**2, groups=world["who"])
    mean = np.zeros(world["design"].shape[1])
    expected = [refit_density(world, world["who"] == i, noise, mean) for i in range(CONSUMERS)]
    np.testing.assert_allclose(found.pointwise, -2 * np.array(expected), rtol=1e-8)
    assert found.name == "marginal LOO" and found.points_count == CONSUMERS


def test_a_singular_prior_is_fine_and_a_negative_one_is_refused(world: dict):
    fixed = world["prior"].copy()
    fixed[2:, 2:] = 0.0  # no consumer effects: a plain regression
    plain = exact_loo(world["y"], world["design"], fixed, NOISE**2)
    small = exact_loo(world["y"], world["x"], 9.0 * np.eye(2), NOISE**2)
    np.testing.assert_allclose(plain.pointwise, small.pointwise, rtol=1e-9)
    with pytest.raises(ValueError, match="negative eigenvalue"):
        exact_loo(world["y"], world["x"], -np.eye(2), 1.0)
    with pytest.raises(ValueError, match="positive and finite"):
        exact_loo(world["y"], world["x"], np.eye(2), 0.0)


def test_the_marginal_likelihood_is_the_dense_normal_of_each_consumer(world: dict):
    residual = world["y"] - world["x"] @ [1.0, 0.5]
    noise = np.random.default_rng(23).uniform(0.3, 0.8, len(residual))
    found = marginal_log_likelihood(residual, world["x"], world["who"], world["covariance"], noise)
    for i in range(CONSUMERS):
        mine = world["who"] == i
        dense = world["x"][mine] @ world["covariance"] @ world["x"][mine].T + np.diag(noise[mine])
        expected = stats.multivariate_normal.logpdf(residual[mine], cov=dense)
        assert found[i] == pytest.approx(expected, rel=1e-10)


def posterior(world: dict) -> tuple[np.ndarray, np.ndarray]:
    precision = np.linalg.inv(world["prior"]) + world["design"].T @ world["design"] / NOISE**2
    covariance = np.linalg.inv(precision)
    return covariance @ world["design"].T @ world["y"] / NOISE**2, covariance


@pytest.fixture(scope="module")
def draws(world: dict) -> dict:
    """Posterior draws, and the conditional log-likelihood of every row."""
    mean, covariance = posterior(world)
    rng = np.random.default_rng(24)
    coefficients = rng.multivariate_normal(mean, covariance, 20_000)
    expected = coefficients @ world["design"].T
    density = conditional_log_likelihood(world["y"], expected, NOISE)
    return {"coefficients": coefficients, "density": density, "mean": mean, "covariance": covariance}


def test_conditional_log_likelihood_is_scipys(world: dict, draws: dict):
    expected = stats.norm.logpdf(world["y"], draws["coefficients"][:3] @ world["design"].T, NOISE)
    np.testing.assert_allclose(draws["density"][:3], expected)
    several = conditional_log_likelihood(world["y"], np.zeros((2, len(world["y"]))), np.array([[0.5], [2.0]]))
    np.testing.assert_allclose(several[1], stats.norm.logpdf(world["y"], 0, 2.0))


def test_conditional_dic_has_the_trace_of_the_hat_matrix_as_penalty(world: dict, draws: dict):
    """Gaussian, variances known: pD = tr(X C X') / s2 exactly, and DIC = D(mean) + 2 pD."""
    at_mean = conditional_log_likelihood(world["y"], (world["design"] @ draws["mean"])[None], NOISE).sum()
    penalty = np.trace(world["design"] @ draws["covariance"] @ world["design"].T) / NOISE**2
    found = dic(draws["density"], at_mean, "conditional")
    deviances = -2 * draws["density"].sum(axis=1)
    error = deviances.std() / np.sqrt(len(deviances))
    assert found.effective_parameters == pytest.approx(penalty, abs=4 * error)
    assert found.value == pytest.approx(-2 * at_mean + 2 * penalty, abs=8 * error)  # holds the mean twice
    assert found.name == "conditional DIC" and "posterior mean" in found.variant
    assert 2 < penalty < world["design"].shape[1]


def test_waic_is_its_closed_form_and_near_the_exact_loo(world: dict, draws: dict):
    """log E p and Var log p of a normal expectation with variance v: both known."""
    found = waic(draws["density"], "conditional")
    fitted = world["design"] @ draws["mean"]
    v = np.einsum("np,pq,nq->n", world["design"], draws["covariance"], world["design"])
    residual, s2 = world["y"] - fitted, NOISE**2
    log_mean = stats.norm.logpdf(world["y"], fitted, np.sqrt(s2 + v))
    variance = (4 * residual**2 * v + 2 * v**2) / (4 * s2**2)
    assert found.effective_parameters == pytest.approx(variance.sum(), rel=0.03)
    assert found.value == pytest.approx(-2 * (log_mean - variance).sum(), rel=0.01)
    by_hand = special.logsumexp(draws["density"], axis=0) - np.log(len(draws["density"]))
    np.testing.assert_allclose(found.pointwise, -2 * (by_hand - draws["density"].var(axis=0, ddof=1)))
    assert found.unreliable_share == np.mean(draws["density"].var(axis=0, ddof=1) > 0.4)
    exact = exact_loo(world["y"], world["design"], world["prior"], NOISE**2)
    in_sample = -2 * stats.norm.logpdf(world["y"], fitted, NOISE).sum()
    assert in_sample < found.value
    assert abs(found.value - exact.value) < 0.5 * (exact.value - in_sample)


def test_marginal_waic_points_are_consumers(world: dict, draws: dict):
    shared = draws["coefficients"][:2000, :2]
    density = np.stack(
        [
            marginal_log_likelihood(
                world["y"] - world["x"] @ b, world["x"], world["who"], world["covariance"], NOISE**2
            )
            for b in shared
        ]
    )
    found = waic(density, "marginal")
    exact = exact_loo(world["y"], world["design"], world["prior"], NOISE**2, groups=world["who"])
    assert found.points_count == CONSUMERS == exact.points_count
    assert found.effective_parameters < 3.5  # two shared coefficients, not those of five consumers
    assert found.value == pytest.approx(exact.value, abs=3.0)


def test_conditional_and_marginal_are_never_mixed(world: dict, draws: dict):
    conditional, marginal = waic(draws["density"], "conditional"), waic(draws["density"], "marginal")
    with pytest.raises(ValueError, match="must not be subtracted"):
        difference(conditional, marginal)
    with pytest.raises(ValueError, match="must not be subtracted"):
        difference(conditional, exact_loo(world["y"], world["x"], np.eye(2), 1.0))
    with pytest.raises(ValueError, match="different data"):
        difference(conditional, waic(draws["density"][:, :-1], "conditional"))
    with pytest.raises(ValueError, match="say conditional or marginal"):
        InformationCriterion("DIC", "both", "", 1.0, 1)
    with pytest.raises(ValueError, match="2 or more draws"):
        waic(draws["density"][:1], "conditional")


def test_a_difference_is_paired_and_finds_the_model_that_made_the_data(world: dict):
    full = exact_loo(world["y"], world["design"], world["prior"], NOISE**2)
    pooled = exact_loo(world["y"], world["x"], 9.0 * np.eye(2), NOISE**2 + 1.0)
    gap, error = difference(full, pooled)
    points = full.pointwise - pooled.pointwise
    assert gap == pytest.approx(points.sum()) and gap < 0
    assert error == pytest.approx(np.sqrt(len(points)) * points.std(ddof=1))
