"""Dose models and their weights: parity, the family found, the slope recovered, the control failing."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import nbinom, poisson

from models.effects.count_regression import clustered_errors, fit_count_means, log_probability
from models.effects.exposure_counts import (
    BALANCE_LIMIT,
    dose_balance,
    fit_count_exposure,
    weighted_dose_slope,
)
from models.effects.overlap import weight_statistics
from models.effects.rows_design import RowsDesign
from models.errors import ConvergenceError, OverlapError

SLOPE = 3.0
NAMES = ("last gmv", "constant")


def dose_world(rng: np.random.Generator, consumers: int = 300, months: int = 10, *, slope=SLOPE, alpha=0.3):
    """Last month's purchase raises this month's exposures and purchase: features, doses, GMV, consumers."""
    y = 50 + 12 * rng.normal(size=consumers)
    rows = []
    for _ in range(months):
        last = y
        mean = np.exp(0.6 + 0.02 * (last - 55))
        gamma = rng.gamma(1 / alpha, alpha, consumers) if alpha else 1.0
        x = rng.poisson(mean * gamma).astype(float)
        y = 44 + 0.5 * (last - 50) + slope * x + 10 * rng.normal(size=consumers)
        rows.append((last, x, y))
    last, x, y = (np.stack(column, axis=1).ravel() for column in zip(*rows, strict=True))
    return np.column_stack([last, np.ones_like(last)]), x, y, np.repeat(np.arange(consumers), months)


def test_log_probabilities_are_scipys():
    counts = np.arange(12.0)
    means = np.linspace(0.2, 6, 12)
    np.testing.assert_allclose(log_probability(counts, means, 0.0), poisson.logpmf(counts, means))
    expected = nbinom.logpmf(counts, 1 / 0.4, 1 / (1 + 0.4 * means))
    np.testing.assert_allclose(log_probability(counts, means, 0.4), expected, rtol=1e-10)


def test_agrees_with_joint_maximum_likelihood():
    """Coefficients and dispersion in turn reach the maximum that statsmodels' joint search reaches."""
    features, x, _, who = dose_world(np.random.default_rng(1))
    fit = fit_count_exposure(features, x, NAMES, who)
    z = sm.add_constant((features[:, 0] - features[:, 0].mean()) / features[:, 0].std())
    joint = sm.NegativeBinomial(x, z).fit(disp=0, maxiter=200, gtol=1e-8)
    assert fit.family == "negative_binomial"
    np.testing.assert_allclose([*fit.coefficients[:2], fit.dispersion], joint.params, rtol=1e-3)
    assert fit.coefficients[2] == fit.standard_errors[2] == 0.0  # a constant column is left out
    assert fit.dispersion == pytest.approx(0.3, abs=0.05)
    assert log_probability(x, fit.means, fit.dispersion).sum() == pytest.approx(joint.llf, abs=1e-3)


def test_coefficients_and_clustered_errors_are_statsmodels():
    """At a given dispersion, against GLM with clustered covariance, over more rows than a chunk holds."""
    features, x, _, who = dose_world(np.random.default_rng(9), consumers=500)
    design = RowsDesign.of(features[:, :1])
    z = sm.add_constant((features[:, 0] - features[:, 0].mean()) / features[:, 0].std())
    for alpha, family in ((0.0, sm.families.Poisson()), (0.4, sm.families.NegativeBinomial(alpha=0.4))):
        reference = sm.GLM(x, z, family=family).fit(
            tol=1e-12, cov_type="cluster", cov_kwds={"groups": who, "use_correction": False}
        )
        fit = fit_count_means(design, x, alpha)
        np.testing.assert_allclose(fit.coefficients, reference.params, rtol=1e-4)
        errors = clustered_errors(design, x, fit, who)
        # statsmodels has the observed information in the sandwich of a link that is not canonical, we the expected one
        np.testing.assert_allclose(
            errors, reference.bse * np.sqrt(500 / 499), rtol=1e-4 if alpha == 0 else 5e-3
        )


def test_columns_that_repeat_others_are_refused_by_the_bare_regression():
    features, x, _, _ = dose_world(np.random.default_rng(10), consumers=30)
    repeated = np.column_stack([features[:, 0], 2 * features[:, 0]])
    with pytest.raises(ConvergenceError, match="repeat others"):
        fit_count_means(RowsDesign.of(repeated), x, 0.0)


def test_poisson_exposures_are_found_to_be_poisson():
    features, x, _, who = dose_world(np.random.default_rng(2), alpha=0.0)
    fit = fit_count_exposure(features, x, NAMES, who)
    assert (fit.family, fit.dispersion) == ("poisson", 0.0)
    slope = 0.02 * features[:, 0].std()
    assert abs(fit.coefficients[1] - slope) < 3 * fit.standard_errors[1] < 0.1


@pytest.mark.parametrize("slope", [SLOPE, 0.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_stabilised_weights_recover_the_slope_of_a_dose(slope: float, alpha: float):
    """Confounding by last purchases: the weighted slope is right, the unweighted one (control) is not."""
    features, x, y, who = dose_world(np.random.default_rng(3), slope=slope, alpha=alpha)
    fit = fit_count_exposure(features, x, NAMES, who)
    found = weighted_dose_slope(fit, y, who, np.random.default_rng(4), draws_count=400)
    assert abs(found.estimate - slope) < 3 * found.standard_error < 1.2
    assert found.interval_lower < slope < found.interval_upper
    naive = np.polyfit(x, y, 1)[0]
    assert naive > slope + 0.5
    assert naive > found.interval_upper


def test_weights_undo_the_link_between_dose_and_history():
    features, x, _, who = dose_world(np.random.default_rng(5))
    fit = fit_count_exposure(features, x, NAMES, who, truncation_share=0.0)
    before = np.corrcoef(x, features[:, 0])[0, 1]
    w = fit.weights / fit.weights.sum()
    centred = [v - w @ v for v in (x, features[:, 0])]
    after = w @ (centred[0] * centred[1]) / np.sqrt((w @ centred[0] ** 2) * (w @ centred[1] ** 2))
    assert before > 0.2
    assert abs(after) < 0.05
    np.testing.assert_allclose(
        dose_balance(fit), (before, after), atol=1e-9
    )  # log mu is linear in the feature
    found = weight_statistics(fit.weights, fit.weights_raw)
    assert found["weight_mean"] == pytest.approx(1.0, abs=0.03)
    assert found["clipped_share"] == 0.0
    assert found["ess_share"] == pytest.approx(1 / (1 + np.var(fit.weights) / fit.weights.mean() ** 2))
    cut = fit_count_exposure(features, x, NAMES, who, truncation_share=0.05)
    truncated = weight_statistics(cut.weights, cut.weights_raw)
    assert truncated["clipped_share"] == pytest.approx(0.1, abs=0.01)
    assert truncated["ess_share"] > found["ess_share"]
    assert truncated["weight_max"] == found["weight_max"] > cut.weights.max()


def test_a_wrong_family_shows_in_the_weights():
    """Poisson forced on overdispersed counts: the weights' spread explodes, which the effective share tells."""
    features, x, _, who = dose_world(np.random.default_rng(6), alpha=1.0)
    share = {}
    for family in ("auto", "poisson"):
        fit = fit_count_exposure(features, x, NAMES, who, family=family, truncation_share=0.0)
        share[family] = weight_statistics(fit.weights, fit.weights_raw)["ess_share"]
    assert share["auto"] > 0.5
    assert share["poisson"] < 0.5 * share["auto"]


def test_balance_tells_weights_that_did_not_do_their_work():
    """Doses that are 2 or 3: no Poisson; the weights leave the past in, the slope is off, and balance says so."""
    rng = np.random.default_rng(8)
    last = rng.normal(size=3_000)
    x = 2.0 + (rng.random(3_000) < 1 / (1 + np.exp(-2 * last)))
    y = 10 * last + SLOPE * x + rng.normal(size=3_000)
    who = np.arange(3_000)
    fit = fit_count_exposure(last[:, None], x, ("last",), who)
    found = weighted_dose_slope(fit, y, who, rng, draws_count=200)
    assert found.interval_lower > SLOPE + 3
    assert dose_balance(fit)[1] > BALANCE_LIMIT


def test_refusals():
    features, x, _, who = dose_world(np.random.default_rng(7), consumers=20, months=3)
    with pytest.raises(ValueError, match="auto, poisson, negative_binomial"):
        fit_count_exposure(features, x, NAMES, who, family="gamma")
    with pytest.raises(ValueError, match="must be counts"):
        fit_count_exposure(features, x + 0.5, NAMES, who)
    with pytest.raises(ValueError, match="truncation_share"):
        fit_count_exposure(features, x, NAMES, who, truncation_share=0.5)
    with pytest.raises(OverlapError, match="0 or 1 only"):
        fit_count_exposure(features, (x > 0).astype(float), NAMES, who)
    with pytest.raises(OverlapError, match="no other dose"):
        fit_count_exposure(features, np.ones_like(x), NAMES, who)
