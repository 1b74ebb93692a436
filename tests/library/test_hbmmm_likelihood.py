"""The compiled marginal likelihood against a dense normal distribution built row by row, and its gradient."""

import numpy as np
import pytest
from scipy import linalg, stats

from models.hbmmm import correlation
from models.hbmmm.characteristics import learn_characteristics, tidy_characteristics
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.consumers import consumer_draws, mean_coefficients
from models.hbmmm.design import build_design, feature_matrix
from models.hbmmm.laplace import find_mode, fixed_precision
from models.hbmmm.model import compiled_model
from models.hbmmm.problem import (
    build_problem,
    consumer_row_means,
    log_likelihood,
    log_posterior,
    prior_table,
)
from models.hbmmm.statistics import SufficientStatistics, row_design

CONFIG = HBMMMConfig()


def prepare(panel):
    statistics = SufficientStatistics.from_panel(panel)
    frame = tidy_characteristics(panel.characteristics, statistics.consumer_ids)
    design = build_design(statistics, learn_characteristics(frame, CONFIG), CONFIG)
    return statistics, design, frame, build_problem(statistics, design, frame)


def dense_model(panel, statistics, design, frame, problem, parameters):
    """Outcome (R,), mean matrix F (R, p), covariance (R, R) and [X, R] blocks of the scaled rows, by definition."""
    rows = row_design(panel)[1] @ design.affine_map(len(statistics.columns))
    consumer, market = panel.consumer_index, panel.market_index
    means = consumer_row_means(statistics, design)
    centred = rows[:, :-1].copy()
    centred[:, 1:] -= means[consumer][:, 1:]
    features = feature_matrix(design, means, frame)
    moderated = [centred[:, c] * features[consumer, f] for c, f in design.moderators]
    fixed = np.column_stack([centred, *moderated])
    log_noise, factor, scale, beta = problem.split(parameters)
    stratum = problem.by_consumer(problem.stratum)[consumer]
    x, r = centred[:, list(design.slope_columns)], centred[:, list(design.market_columns)]
    same_consumer = consumer[:, None] == consumer[None]
    same_market = market[:, None] == market[None]
    covariance = np.diag(np.exp(2 * log_noise[stratum]))
    covariance += same_consumer * (x @ factor @ factor.T @ x.T)
    covariance += same_market * (r @ np.diag(scale**2) @ r.T)
    return rows[:, -1], fixed, beta, covariance, x, r


@pytest.fixture(scope="module")
def setting(money_panel):
    panel = money_panel(30, 7, 4)[0]
    statistics, design, frame, problem = prepare(panel)
    parameters = np.random.default_rng(1).normal(0, 0.3, len(problem.parameter_names))
    return panel, statistics, design, frame, problem, parameters


def test_value_is_that_of_the_dense_normal(setting):
    panel, statistics, design, frame, problem, parameters = setting
    y, fixed, beta, covariance, _, _ = dense_model(panel, statistics, design, frame, problem, parameters)
    expected = stats.multivariate_normal(fixed @ beta, covariance).logpdf(y)
    assert log_likelihood(problem, parameters)[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("markets_count, consumers_count", [(4, 30), (1, 20), (7, 150)])
def test_gradient_is_that_of_finite_differences(money_panel, markets_count, consumers_count):
    """Also with one market (no market level) and with more than one block of lanes."""
    problem = prepare(money_panel(consumers_count, 6, markets_count, seed=3)[0])[-1]
    parameters = np.random.default_rng(2).normal(0, 0.3, len(problem.parameter_names))
    gradient = log_likelihood(problem, parameters)[1]
    numeric = np.empty_like(gradient)
    for a in range(len(parameters)):
        step = np.zeros_like(parameters)
        step[a] = 1e-4
        values = [log_likelihood(problem, parameters + m * step)[0] for m in (-2, -1, 1, 2)]
        numeric[a] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-4
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-9 * scale)


def test_signs_of_standard_deviations_do_not_matter(setting):
    """A slope's correlations turn with its sign."""
    problem, parameters = setting[4], setting[5]
    at = problem.layout
    signs = np.where(np.arange(problem.slopes_count) % 2, -1.0, 1.0)
    flipped = parameters.copy()
    flipped[at.consumer] *= signs
    flipped[at.market] *= -1
    flipped[at.correlation] = correlation.flip_signs(flipped[at.correlation], signs[1:])
    assert log_likelihood(problem, flipped)[0] == pytest.approx(
        log_likelihood(problem, parameters)[0], rel=1e-12
    )


def test_absurd_parameters_have_no_density_instead_of_overflowing(setting):
    problem, parameters = setting[4], setting[5].copy()
    parameters[0] = 80.0
    assert log_likelihood(problem, parameters)[0] == -np.inf


def test_pymc_model_is_prior_plus_likelihood(setting):
    problem, parameters = setting[4], setting[5]
    mean, sd = prior_table(problem.design, len(problem.strata), CONFIG)
    model = compiled_model(problem.parameter_names, mean, sd)
    model.load(problem)
    value, gradient = model.value_and_gradient(parameters)
    likelihood, slope = log_likelihood(problem, parameters)
    part = np.arange(len(sd))[problem.layout.correlation]
    others = np.setdiff1d(np.arange(len(sd)), part)
    prior, along = correlation.log_prior(
        parameters[part], problem.slopes_count - 1, CONFIG.prior_slope_correlation
    )
    prior += stats.norm(mean, sd).logpdf(parameters)[others].sum()
    assert value == pytest.approx(likelihood + prior, rel=1e-12)
    expected = slope - parameters / sd**2
    expected[part] = slope[part] + along
    np.testing.assert_allclose(gradient, expected, rtol=1e-10)
    found = log_posterior(problem, parameters, sd, CONFIG.prior_slope_correlation)
    assert found[0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-10)


def test_precision_of_the_fixed_effects_is_that_of_generalised_least_squares(setting):
    panel, statistics, design, frame, problem, parameters = setting
    y, fixed, _, covariance, _, _ = dense_model(panel, statistics, design, frame, problem, parameters)
    sd = prior_table(problem.design, len(problem.strata), CONFIG)[1]
    solved = linalg.solve(covariance, np.column_stack([fixed, y]), assume_a="pos")
    precision, right = fixed_precision(problem, parameters, sd)
    expected = fixed.T @ solved[:, :-1] + np.diag(1 / sd[-fixed.shape[1] :] ** 2)
    np.testing.assert_allclose(precision, expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(right, fixed.T @ solved[:, -1], rtol=1e-8, atol=1e-8)


def test_draws_of_consumer_effects_have_the_dense_conditional_moments(setting):
    panel, statistics, design, frame, problem, parameters = setting
    y, fixed, beta, covariance, x, r = dense_model(panel, statistics, design, frame, problem, parameters)
    _, factor, scale, _ = problem.split(parameters)
    k, consumer = 1, 5  # the first channel's slope of consumer 5: fixed + moderators + market + own effect
    own = (panel.consumer_index == consumer) * (x @ (factor @ factor.T)[k])
    home = (panel.market_index == panel.consumer_market_index[consumer]) * r[:, k] * scale[k] ** 2
    toward = own + home  # covariance of (market + own effect) with y
    solved = linalg.solve(covariance, np.column_stack([y - fixed @ beta, toward]), assume_a="pos")
    mean = toward @ solved[:, 0]
    variance = (factor @ factor.T)[k, k] + scale[k] ** 2 - toward @ solved[:, 1]
    column = design.slope_columns[k]
    features = feature_matrix(design, consumer_row_means(statistics, design), frame)
    moderator = [j for j, (c, _) in enumerate(design.moderators) if c == column]
    base = beta[column] + sum(
        beta[len(design.row_columns) + j] * features[consumer, design.moderators[j][1]] for j in moderator
    )
    assert mean_coefficients(problem, parameters)[consumer, column] == pytest.approx(base + mean, rel=1e-9)
    draws = np.array(
        [
            d.coefficients[consumer, column]
            for d in consumer_draws(problem, np.tile(parameters, (3000, 1)), np.random.default_rng(4))
        ]
    )
    assert abs(draws.mean() - base - mean) < 4 * np.sqrt(variance / 3000)
    assert draws.var() == pytest.approx(variance, rel=0.12)


def test_nothing_constant_about_a_consumer_can_move_a_slope(money_panel):
    """Negative control of the centring: adding any amount to all of a consumer's rows leaves the slopes' GLS alone."""
    panel = money_panel(40, 8, 4)[0]
    slopes = []
    for shift in (0.0, 1.0):
        _, design, frame, _ = prepare(panel)
        extra = shift * 30.0 * np.random.default_rng(0).normal(size=40) ** 3
        moved = np.array(panel.gmv) + extra[panel.consumer_index]
        rows = type("Rows", (), {name: getattr(panel, name) for name in vars(panel)})()
        rows.gmv, rows.exposure_bends = moved, panel.exposure_bends
        problem = build_problem(SufficientStatistics.from_panel(rows), design, frame)
        parameters = np.full(len(problem.parameter_names), 0.3)
        precision, right = fixed_precision(
            problem, parameters, prior_table(problem.design, len(problem.strata), CONFIG)[1]
        )
        slopes.append(linalg.solve(precision, right)[list(design.slope_columns[1:])])
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-6)


def test_mode_has_no_gradient_left(setting):
    problem = setting[4]
    mean, sd = prior_table(problem.design, len(problem.strata), CONFIG)
    model = compiled_model(problem.parameter_names, mean, sd)
    model.load(problem)
    laplace = find_mode(problem, sd, model.value_and_gradient)
    _, gradient = model.value_and_gradient(laplace.mode)
    p = problem.constant_outcome.shape[1]
    spread = np.sqrt(np.diag(laplace.covariance))
    assert np.abs(gradient[-p:] * spread[-p:]).max() < 0.05
    assert np.linalg.eigvalsh(laplace.covariance).min() > 0
