"""Information criteria of a real fit, against the compiled likelihood and against its own predictions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats

from models.errors import PanelError
from models.evaluation.hbmmm_information import hbmmm_information
from models.evaluation.hierarchical_loo import hierarchical_loo
from models.evaluation.information import difference, exact_loo
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.fit import fit_hbmmm
from models.hbmmm.predict import predict_scenario
from models.hbmmm.problem import build_problem, log_likelihood
from models.hbmmm.statistics import SufficientStatistics

OPTIONS = HBMMMConfig(
    basis="linear", include_period_effects="none", inference="nuts", chains=2, draws=100, tune=20, effect_draws=200
)  # fmt: skip


@pytest.fixture(scope="module")
def fitted(money_panel) -> dict:
    """Two markets, so that the model has no market level and its likelihood is a product over consumers."""
    panel = money_panel(100, 10, 2, seed=6)[0]
    fit = fit_hbmmm(SufficientStatistics.from_panel(panel), panel.characteristics, OPTIONS)
    found = {one.name: one for one in hbmmm_information(fit, panel)}
    return {"panel": panel, "fit": fit, "found": found}


def test_the_marginal_deviance_is_that_of_the_compiled_likelihood(fitted: dict):
    """kernel.py sums the same integral over consumers from Gram matrices; here it is summed from rows."""
    fit, panel, found = fitted["fit"], fitted["panel"], fitted["found"]["marginal DIC"]
    assert not fit.design.has_market_level and len(fit.completed) == 1
    problem = build_problem(SufficientStatistics.from_panel(panel), fit.design, fit.completed[0])
    values = [log_likelihood(problem, row)[0] for row in fit.kept_draws(0)]
    unit = panel.rows_count * np.log(fit.design.outcome_scale)
    mean_deviance = found.value - found.effective_parameters
    assert mean_deviance == pytest.approx(-2 * (np.mean(values) - unit), rel=1e-9)
    assert found.points_count == panel.consumers_count


def test_the_conditional_deviance_at_the_mean_is_that_of_the_fits_predictions(fitted: dict):
    fit, panel, found = fitted["fit"], fitted["panel"], fitted["found"]["conditional DIC"]
    scenario = pd.DataFrame(
        {
            "consumer_id": panel.consumer_ids[panel.consumer_index],
            **{c: panel.exposures[:, i] for i, c in enumerate(panel.channel_ids)},
            **{z: panel.covariates[:, i] for i, z in enumerate(panel.covariate_names)},
        }
    )
    mean = predict_scenario(fit, scenario)["mean"].to_numpy()
    log_noise = fit.draws[0, ..., : len(fit.strata)].mean(axis=(0, 1))
    sd = fit.design.outcome_scale * np.exp(log_noise)[fit.stratum_index[panel.consumer_index]]
    at_mean = found.value - 2 * found.effective_parameters
    expected = -2 * stats.norm.logpdf(panel.gmv, mean, sd).sum()
    assert at_mean == pytest.approx(expected, rel=0.002)  # both means are over 200 draws, drawn anew here


def test_levels_and_penalties_are_what_they_should_be(fitted: dict):
    fit, panel, found = fitted["fit"], fitted["panel"], fitted["found"]
    print(
        {k: (round(v.value, 1), round(v.effective_parameters, 1), v.points_count) for k, v in found.items()}
    )
    assert list(found) == [
        "conditional DIC", "conditional WAIC", "conditional LOO", "marginal DIC", "marginal WAIC", "marginal LOO"
    ]  # fmt: skip
    effects = panel.consumers_count * len(fit.design.slope_columns)
    global_count = len(fit.parameter_names)
    assert global_count < found["conditional DIC"].effective_parameters < effects + global_count
    assert 3 < found["marginal DIC"].effective_parameters < 1.3 * global_count
    conditional, marginal = found["conditional WAIC"], found["marginal WAIC"]
    assert abs(conditional.value - found["conditional LOO"].value) < 0.2 * conditional.effective_parameters
    assert abs(marginal.value - found["marginal LOO"].value) < 0.6 * marginal.effective_parameters
    assert marginal.value - conditional.value > 10 * abs(conditional.value - found["conditional LOO"].value)
    assert conditional.points_count == panel.rows_count and marginal.points_count == panel.consumers_count
    with pytest.raises(ValueError, match="must not be subtracted"):
        difference(conditional, marginal)


@pytest.mark.parametrize("has_markets", [False, True])
def test_loo_by_consumer_blocks_is_that_of_the_dense_design(has_markets: bool):
    rng = np.random.default_rng(31)
    who = np.repeat(np.arange(9), rng.integers(1, 6, 9))
    home, rows = np.arange(9)[who] % 3, len(who)
    population, x = rng.normal(size=(rows, 4)), rng.normal(size=(rows, 2))
    covariance, noise = np.array([[0.8, 0.1], [0.1, 0.3]]), rng.uniform(0.3, 1.5, rows)
    m, tau = rng.normal(size=(rows, 3)), np.array([0.5, 0.2, 1.0])
    precision, y = np.diag([0.1, 1.0, 2.0, 0.5]), rng.normal(size=rows)
    market = {"market_design": m, "market_index": home, "market_sd": tau} if has_markets else {}
    by_row, by_consumer = hierarchical_loo(y, population, precision, x, who, covariance, noise, **market)
    parts = [population, *(x * (who == i)[:, None] for i in range(9))]
    priors = [np.linalg.inv(precision)] + [covariance] * 9
    if has_markets:
        parts += [m * (home == j)[:, None] for j in range(3)]
        priors += [np.diag(tau**2)] * 3
    design, prior = np.hstack(parts), linalg.block_diag(*priors)
    np.testing.assert_allclose(by_row.pointwise, exact_loo(y, design, prior, noise).pointwise, rtol=1e-9)
    dense = exact_loo(y, design, prior, noise, groups=who)
    np.testing.assert_allclose(by_consumer.pointwise, dense.pointwise, rtol=1e-9)
    with pytest.raises(ValueError, match="ascending order"):
        hierarchical_loo(y, population, precision, x, who[::-1], covariance, noise)


def test_loo_of_the_fit_is_that_of_one_dense_regression(fitted: dict):
    """All columns rebuilt from the panel: characteristics from the problem, everything else from raw rows."""
    fit, panel = fitted["fit"], fitted["panel"]
    problem = build_problem(SufficientStatistics.from_panel(panel), fit.design, fit.completed[0])
    parts = [problem.split(np.ascontiguousarray(row)) for row in fit.kept_draws(0)]
    covariance = np.mean([factor @ factor.T for _, factor, _, _ in parts], axis=0)
    noise_sd = np.exp(np.mean([p[0] for p in parts], axis=0))[fit.stratum_index[panel.consumer_index]]
    who = panel.consumer_index
    raw = {f"exposure[{c}]": panel.exposures[:, i] for i, c in enumerate(panel.channel_ids)}
    raw |= {f"covariate[{z}]": panel.covariates[:, i] for i, z in enumerate(panel.covariate_names)}
    columns = [np.ones(len(who))]
    for column in fit.design.row_columns[1:]:
        values = raw[column.name]
        columns.append((values - panel.consumer_means(values)[who]) / column.scale)
    features = problem.by_consumer(problem.features)[who]
    columns += [columns[c] * features[:, q] for q, (c, _) in enumerate(fit.design.moderators)]
    population = np.column_stack(columns)
    x = population[:, list(fit.design.slope_columns)]
    own = [x * (who == i)[:, None] for i in range(panel.consumers_count)]
    prior_sd = fit.prior_sd[-population.shape[1] :]
    prior = linalg.block_diag(np.diag(prior_sd**2), *[covariance] * panel.consumers_count)
    y = panel.gmv / fit.design.outcome_scale
    dense = exact_loo(y, np.hstack([population, *own]), prior, noise_sd**2)
    unit = 2 * np.log(fit.design.outcome_scale)
    np.testing.assert_allclose(
        fitted["found"]["conditional LOO"].pointwise, dense.pointwise + unit, rtol=1e-7
    )
    dense = exact_loo(y, np.hstack([population, *own]), prior, noise_sd**2, groups=who)
    expected = dense.pointwise + unit * np.bincount(who)
    np.testing.assert_allclose(fitted["found"]["marginal LOO"].pointwise, expected, rtol=1e-7)


def test_a_fit_with_a_market_level_and_completed_data_sets_has_its_criteria_too(small_fit):
    panel, _, fit, _ = small_fit
    assert fit.design.has_market_level and len(fit.completed) == 2
    found = {one.name: one for one in hbmmm_information(fit, panel)}
    gap = found["conditional WAIC"].value - found["conditional LOO"].value
    assert abs(gap) < 0.2 * found["conditional WAIC"].effective_parameters
    assert found["marginal WAIC"].value > found["conditional WAIC"].value


def test_another_panel_is_refused(fitted: dict, money_panel):
    with pytest.raises(PanelError, match="not the 100 of the fit"):
        hbmmm_information(fitted["fit"], money_panel(40, 10, 2, seed=6)[0])
    panel = fitted["panel"]
    with pytest.raises(PanelError, match="own means differ"):
        hbmmm_information(fitted["fit"], replace(panel, exposures=panel.exposures + panel.exposures[::-1]))
