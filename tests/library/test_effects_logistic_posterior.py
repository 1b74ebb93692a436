"""Lambda of the propensity: parity with maximum likelihood, limits of the prior, honest intervals, e(W) alone."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from models.effects.logistic_posterior import fit_logistic_posterior, penalised_logistic
from models.effects.propensity import fit_propensity
from models.simulate.consumer_config import ConsumerWorldConfig
from models.simulate.consumers import simulate_consumers

LAMBDA = np.array([-0.4, 0.8, 0.0, -0.5])  # intercept first
WORLDS = 150
COVERAGE_FLOOR, COVERAGE_CEILING = 0.91, 0.985  # 600 intervals at 95 %: three Monte-Carlo errors are 0.027


def draw(rng: np.random.Generator, consumers: int, months: int, own_sd: float = 0.0):
    """Columns, treatment and consumers; own_sd is a consumer's own log odds that nothing records."""
    characteristics = rng.normal(size=(consumers, 3))
    who = np.repeat(np.arange(consumers), months)
    own = own_sd * rng.normal(size=consumers)
    odds = LAMBDA[0] + characteristics @ LAMBDA[1:] + own
    return characteristics[who], rng.random(len(who)) < expit(odds)[who], who


def test_agrees_with_statsmodels_under_a_flat_prior():
    features, treatment, who = draw(np.random.default_rng(1), 300, 4)
    found = fit_logistic_posterior(features, treatment, ("a", "b", "c"), who, prior_sd=1e4)
    standardised = sm.add_constant((features - features.mean(axis=0)) / features.std(axis=0))
    reference = sm.Logit(treatment.astype(float), standardised).fit(disp=0)
    clustered = sm.Logit(treatment.astype(float), standardised).fit(
        disp=0, cov_type="cluster", cov_kwds={"groups": who, "use_correction": False}
    )
    np.testing.assert_allclose(found.mean, reference.params, atol=1e-6)
    np.testing.assert_allclose(found.covariance, reference.cov_params(), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.clustered_covariance, clustered.cov_params(), rtol=1e-5, atol=1e-9)


def test_laplace_agrees_with_the_exact_posterior_on_a_grid():
    """One coefficient without intercept: mean and sd by quadrature of the unnormalised posterior."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 1))
    d = rng.random(200) < expit(0.7 * x[:, 0])
    mode = penalised_logistic(x, d, np.ones(1))[0]
    curvature = (x[:, 0] ** 2 * expit(x[:, 0] * mode) * expit(-x[:, 0] * mode)).sum() + 1.0
    grid = np.linspace(-2, 3, 2001)
    linear = x * grid
    log_posterior = (d[:, None] * linear - np.logaddexp(0, linear)).sum(axis=0) - 0.5 * grid**2
    weight = np.exp(log_posterior - log_posterior.max())
    mean = (weight * grid).sum() / weight.sum()
    sd = np.sqrt((weight * (grid - mean) ** 2).sum() / weight.sum())
    assert mode == pytest.approx(mean, abs=0.1 * sd)
    assert curvature**-0.5 == pytest.approx(sd, rel=0.03)


def test_a_tight_prior_leaves_only_the_prior():
    features, treatment, who = draw(np.random.default_rng(3), 200, 3)
    found = fit_logistic_posterior(features, treatment, ("a", "b", "c"), who, prior_sd=1e-3)
    assert np.abs(found.mean[1:]).max() < 1e-3
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance))[1:], 1e-3, rtol=1e-3)
    assert expit(found.mean[0]) == pytest.approx(treatment.mean(), abs=1e-3)


def test_separable_data_stay_finite():
    x = np.linspace(-1, 1, 40)[:, None]
    found = fit_logistic_posterior(x, x[:, 0] > 0, ("x",), np.arange(40))
    assert 1.0 < found.mean[1] < 10
    assert np.isfinite(found.covariance).all()


def test_intervals_cover_lambda_and_the_plain_laplace_ones_do_not():
    """Months of a consumer share own log odds: Laplace alone is too narrow; the wider of the two is honest.

    With own log odds, the coefficients' target is the attenuated one of the average odds, found on a large world.
    """
    large = fit_logistic_posterior(*_named(draw(np.random.default_rng(4), 100_000, 1, own_sd=1.0)))
    target = large.mean[1:] / large.spread
    hits = {"published": [], "laplace": []}
    for seed in range(WORLDS):
        rng = np.random.default_rng(100 + seed)
        found = fit_logistic_posterior(*_named(draw(rng, 150, 8, own_sd=1.0)), prior_sd=10.0)
        table = found.coefficient_table().iloc[1:]
        truth = target * found.spread
        hits["published"].append((table["interval_lower"] < truth) & (truth < table["interval_upper"]))
        half = 1.96 * np.sqrt(np.diag(found.covariance))[1:]
        hits["laplace"].append(np.abs(found.mean[1:] - truth) < half)
    assert COVERAGE_FLOOR < np.mean(hits["published"]) < COVERAGE_CEILING
    assert np.mean(hits["laplace"]) < COVERAGE_FLOOR


def _named(world):
    features, treatment, who = world
    return features, treatment, ("a", "b", "c"), who


def test_propensity_intervals_hold_the_mode_and_narrow_with_data():
    rng = np.random.default_rng(5)
    widths = []
    for consumers in (200, 3_200):
        features, treatment, who = draw(rng, consumers, 2)
        found = fit_logistic_posterior(features, treatment, ("a", "b", "c"), who)
        e, lower, upper = found.propensities(features[:50]).T
        assert np.all((lower < e) & (e < upper))
        widths.append(np.mean(upper - lower))
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.3)  # 16 times the consumers


def test_e_of_w_alone_uses_characteristics_only_and_knows_less():
    """The paper's e(W_i) is constant within a consumer; lagged history tells the arms further apart."""
    config = ConsumerWorldConfig(consumers_count=300, markets_count=4, periods_count=15, confounding=0.8)
    panel = simulate_consumers(config, np.random.default_rng(8)).to_panel()
    by_w = fit_propensity(panel, "retargeting", conditioning="characteristics")
    spread = panel.consumer_means(by_w.propensity_raw**2) - panel.consumer_means(by_w.propensity_raw) ** 2
    assert np.abs(spread).max() < 1e-12
    assert not any("so far" in name for name in by_w.feature_names)
    table = by_w.posterior.coefficient_table()
    assert table["feature_name"].tolist() == ["intercept", *by_w.feature_names]
    history = fit_propensity(panel, "retargeting")
    gaps = [
        f.propensity_raw[f.treatment].mean() - f.propensity_raw[~f.treatment].mean() for f in (by_w, history)
    ]
    assert gaps[1] > 1.5 * gaps[0]


def test_refuses_settings_that_mean_nothing():
    features, treatment, who = draw(np.random.default_rng(6), 30, 2)
    with pytest.raises(ValueError, match="above 0"):
        fit_logistic_posterior(features, treatment, ("a", "b", "c"), who, prior_sd=0.0)
    panel = simulate_consumers(
        ConsumerWorldConfig(consumers_count=60, periods_count=8), np.random.default_rng(1)
    ).to_panel()
    with pytest.raises(ValueError, match="history, characteristics"):
        fit_propensity(panel, "tv", conditioning="future")
