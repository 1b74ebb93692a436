"""Robustness values: closed forms against a confounder built to be exactly that strong, published figures, limits."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import brentq
from scipy.stats import t as student

from models.effects.doubly_robust import ExposureScores
from models.effects.sensitivity import (
    adjusted_estimate,
    confounding_bias,
    estimate_robustness,
    partial_r2,
    robustness_value,
    score_bias_scale,
    sensitivity_table,
    strength_for,
)

ROWS = 500


@pytest.fixture(scope="module")
def regression():
    """Outcome, treatment, covariates and the classical fit; the treatment follows covariates."""
    rng = np.random.default_rng(1)
    covariates = sm.add_constant(rng.normal(size=(ROWS, 3)))
    treatment = covariates @ [1.0, 0.5, -0.3, 0.0] + rng.normal(size=ROWS)
    outcome = covariates @ [10.0, 1.0, 0.0, 2.0] + 0.4 * treatment + 2 * rng.normal(size=ROWS)
    fit = sm.OLS(outcome, np.column_stack([treatment, covariates])).fit()
    return outcome, treatment, covariates, fit


def residual(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return y - x @ np.linalg.lstsq(x, y, rcond=None)[0]


def confounder(regression, r2_outcome: float, r2_treatment: float) -> np.ndarray:
    """A column with exactly these partial R2: of Y given D, X and of D given X, on the side that hurts."""
    outcome, treatment, covariates, fit = regression
    both = np.column_stack([treatment, covariates])
    d, e = residual(treatment, covariates), residual(outcome, both)
    noise = residual(np.random.default_rng(2).normal(size=ROWS), np.column_stack([both, e]))
    d, e, noise = (v / np.linalg.norm(v) for v in (d, e, noise))
    rest = np.sqrt(r2_outcome) * np.sign(fit.params[0]) * e + np.sqrt(1 - r2_outcome) * noise
    return np.sqrt(r2_treatment) * d + np.sqrt(1 - r2_treatment) * rest


def with_confounder(regression, z: np.ndarray):
    outcome, treatment, covariates, _ = regression
    return sm.OLS(outcome, np.column_stack([treatment, covariates, z])).fit()


@pytest.mark.parametrize(("r2_outcome", "r2_treatment"), [(0.05, 0.02), (0.3, 0.1), (0.01, 0.6), (1.0, 0.01)])
def test_bias_and_adjusted_error_are_exact(regression, r2_outcome: float, r2_treatment: float):
    fit = regression[3]
    expected = adjusted_estimate(fit.params[0], fit.bse[0], fit.df_resid, r2_outcome, r2_treatment)
    found = with_confounder(regression, confounder(regression, r2_outcome, r2_treatment))
    assert found.params[0] == pytest.approx(expected.estimate, abs=1e-9)
    assert found.bse[0] == pytest.approx(expected.standard_error, abs=1e-7)
    if r2_outcome < 1:
        np.testing.assert_allclose(
            found.conf_int()[0], [expected.interval_lower, expected.interval_upper], atol=1e-7
        )
    scale = fit.bse[0] * np.sqrt(fit.df_resid)
    assert confounding_bias(scale, r2_outcome, r2_treatment) == pytest.approx(expected.bias)
    assert expected.bias == pytest.approx(fit.params[0] - found.params[0], abs=1e-9)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_confounder_as_strong_as_the_robustness_value_takes_the_effect_away(regression, share: float):
    fit = regression[3]
    strength = robustness_value(fit.tvalues[0], fit.df_resid, share=share)
    found = with_confounder(regression, confounder(regression, strength, strength))
    assert 0.05 < strength < 0.4
    assert found.params[0] == pytest.approx((1 - share) * fit.params[0], abs=1e-9)
    weaker = with_confounder(regression, confounder(regression, 0.9 * strength, 0.9 * strength))
    assert weaker.params[0] > (1 - share) * fit.params[0] + 0.01


def test_a_confounder_as_strong_as_the_significance_value_leaves_p_at_the_level(regression):
    fit = regression[3]
    strength = robustness_value(fit.tvalues[0], fit.df_resid, significance_level=0.05)
    assert 0 < strength < robustness_value(fit.tvalues[0], fit.df_resid)
    found = with_confounder(regression, confounder(regression, strength, strength))
    assert found.pvalues[0] == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(("t_value", "df"), [(4.0, 100), (6.0, 6), (12.0, 6), (2.6, 40)])
def test_the_significance_value_is_the_least_strength_that_a_search_finds(t_value: float, df: int):
    """Over all confounders no stronger than r on either side, the weakest r that leaves |t| at the critical value."""
    critical = student.ppf(0.975, df - 1)

    def least_t(r: float) -> float:
        found = [adjusted_estimate(t_value, 1.0, df, part, r) for part in np.linspace(0, r, 400)]
        return min(f.estimate / f.standard_error for f in found)

    expected = brentq(lambda r: least_t(r) - critical, 1e-6, 1 - 1e-6)
    assert robustness_value(t_value, df, significance_level=0.05) == pytest.approx(expected, abs=1e-3)


def test_published_figures_of_darfur():
    """Cinelli and Hazlett (2020), Table 1: t 4.18, df 783: partial R2 2.2 %, RV 13.9 %, RV at 5 % 7.6 %."""
    assert partial_r2(4.184, 783) == pytest.approx(0.022, abs=5e-4)
    assert robustness_value(4.184, 783) == pytest.approx(0.139, abs=5e-4)
    assert robustness_value(4.184, 783, significance_level=0.05) == pytest.approx(0.076, abs=5e-4)


def test_limits():
    assert robustness_value(0.0, 100) == 0.0
    assert robustness_value(1.5, 100, significance_level=0.05) == 0.0
    assert robustness_value(1e6, 100) == pytest.approx(1.0, abs=1e-3)
    assert robustness_value(-3.0, 50) == robustness_value(3.0, 50)
    assert np.isnan(robustness_value(np.nan, 50))
    assert np.isnan(robustness_value(np.nan, 50, significance_level=0.05))
    assert confounding_bias(2.0, 0.0, 0.5) == confounding_bias(2.0, 0.5, 0.0) == 0.0
    np.testing.assert_allclose(confounding_bias(2.0, np.array([0.5, 0.5]), 0.5), np.sqrt(2.0))
    strengths = np.array([strength_for(f) for f in (0.1, 0.2, 0.4, 0.8)])
    np.testing.assert_allclose(strengths / np.sqrt(1 - strengths), [0.1, 0.2, 0.4, 0.8])


def test_a_clustered_t_errs_on_the_safe_side_where_clustering_widens_the_error():
    """Months of a consumer alike in both: the confounder of that lesser strength leaves some of the effect."""
    rng = np.random.default_rng(3)
    who = np.repeat(np.arange(100), 5)
    treatment = rng.normal(size=100)[who] + 0.5 * rng.normal(size=ROWS)
    outcome = 0.8 * treatment + 1.5 * rng.normal(size=100)[who] + rng.normal(size=ROWS)
    covariates = np.ones((ROWS, 1))
    design = np.column_stack([treatment, covariates])
    classical = sm.OLS(outcome, design).fit()
    clustered = sm.OLS(outcome, design).fit(cov_type="cluster", cov_kwds={"groups": who})
    exact = robustness_value(classical.tvalues[0], classical.df_resid)
    safe = robustness_value(clustered.tvalues[0], classical.df_resid)
    assert safe < 0.8 * exact
    data = (outcome, treatment, covariates, classical)
    assert with_confounder(data, confounder(data, exact, exact)).params[0] == pytest.approx(0, abs=1e-9)
    assert with_confounder(data, confounder(data, safe, safe)).params[0] > 0.1


def test_aipw_scale_is_the_linear_one_where_the_models_coincide():
    """Randomised halves, outcome means by arm: s^2 = 4 sigma^2 = n se^2, so both robustness values agree."""
    rng = np.random.default_rng(4)
    d = np.arange(400) % 2 == 0
    y = 3.0 * d + rng.normal(size=400)
    g0, g1 = y[~d].mean(), y[d].mean()
    half, full = np.full(400, 0.5), np.ones(400)
    scores = ExposureScores(d, y, np.arange(400), half, half, g0 * full, g1 * full, 0.0, np.arange(len(y)))
    fit = sm.OLS(y, np.column_stack([d, np.ones(400)]).astype(float)).fit()
    for estimand in ("ate_exposed", "att_exposed"):
        scale = score_bias_scale(scores, estimand)
        assert scale == pytest.approx(fit.bse[0] * np.sqrt(fit.df_resid), rel=1e-9)
    found = estimate_robustness(score_bias_scale(scores, "ate_exposed"), g1 - g0, 2.5, 3.5)
    assert found["robustness_value"] == pytest.approx(robustness_value(fit.tvalues[0], fit.df_resid))
    assert 0 < found["robustness_value_interval"] < found["robustness_value"]
    assert (
        estimate_robustness(score_bias_scale(scores, "ate_exposed"), 0.1, -0.1, 0.3)[
            "robustness_value_interval"
        ]
        == 0.0
    )


def test_the_aipw_bound_holds_for_a_confounder_that_is_hidden():
    """Z moves exposure and purchases; without it AIPW is wrong by at most the bound at Z's true strengths.

    Everything is known in closed form: e(z) = 0.3 or 0.7, Y = 5 z + 2 d + noise, so g without Z is the arm's mean.
    """
    rng = np.random.default_rng(5)
    z = rng.random(40_000) < 0.5
    e = np.where(z, 0.7, 0.3)
    d = rng.random(40_000) < e
    y = 5.0 * z + 2.0 * d + rng.normal(size=40_000)
    half, full = np.full(len(y), 0.5), np.ones(len(y))
    g0, g1 = y[~d].mean(), y[d].mean()
    short = ExposureScores(d, y, np.arange(len(y)), half, half, g0 * full, g1 * full, 0.0, np.arange(len(y)))
    bias = abs((g1 - g0) - 2.0)
    residual_variance = np.mean((y - np.where(d, g1, g0)) ** 2)
    r2_outcome = 1 - 1.0 / residual_variance  # noise variance is 1
    long_alpha, short_alpha = np.mean(np.where(d, 1 / e, 1 / (1 - e)) ** 2), 4.0
    r2_alpha = 1 - short_alpha / long_alpha
    bound = confounding_bias(score_bias_scale(short, "ate_exposed"), r2_outcome, r2_alpha)
    assert bias > 1.5
    assert 0.8 * bound < bias < 1.02 * bound
    assert confounding_bias(score_bias_scale(short, "ate_exposed"), r2_outcome / 3, r2_alpha) < bias


def test_a_combination_of_coefficients_is_as_sensitive_as_its_t_says(regression):
    """theta = b_x + 0.3 b_log, read from a table row: a confounder of that strength takes theta to zero."""
    outcome, treatment, covariates, _ = regression
    second = np.abs(treatment) ** 0.5
    design = np.column_stack([treatment, second, covariates])
    fit = sm.OLS(outcome, design).fit()
    weights = np.array([1, 0.3, 0, 0, 0, 0])
    error = np.sqrt(weights @ fit.cov_params() @ weights)
    keys = {"channel_id": "tv", "estimand": "slope", "exposure_distribution": "panel_rows"}
    keys |= {"horizon": "immediate", "method": "m"}
    effects = pd.DataFrame(
        [
            keys | {"mean": weights @ fit.params, "standard_deviation": error},
            keys | {"channel_id": "none", "mean": np.nan, "standard_deviation": np.nan},
        ]
    )
    table = sensitivity_table(effects, fit.df_resid).set_index("channel_id")
    strength = table.loc["tv", "robustness_value"]
    controls = np.column_stack([second - 0.3 * treatment, covariates])
    again = (outcome, treatment, controls, sm.OLS(outcome, np.column_stack([treatment, controls])).fit())
    z = confounder(again, strength, strength)
    left = sm.OLS(outcome, np.column_stack([design, z])).fit().params
    assert left[0] + 0.3 * left[1] == pytest.approx(0, abs=1e-8)
    assert abs(left[0]) > 0.01
    assert table.loc["tv", "partial_r2"] == pytest.approx(partial_r2(again[3].tvalues[0], fit.df_resid))
    assert 0 < table.loc["tv", "robustness_value_significance"] < strength
    numbers = ["partial_r2", "robustness_value", "robustness_value_significance", "bias_scale"]
    assert table.loc["none", numbers].isna().all()


def test_refusals(regression):
    with pytest.raises(ValueError, match="2 or more"):
        partial_r2(2.0, 1)
    with pytest.raises(ValueError, match="share is 0"):
        robustness_value(2.0, 10, share=0.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        robustness_value(2.0, 10, significance_level=5.0)
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        confounding_bias(1.0, 0.5, 1.0)
    with pytest.raises(ValueError, match="ate_exposed, att_exposed"):
        score_bias_scale(ExposureScores(*[np.ones(1)] * 7, 0.0, np.zeros(1)), "slope")
