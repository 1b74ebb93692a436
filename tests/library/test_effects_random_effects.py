"""Random intercepts: parity with statsmodels and with dense algebra; what leaving the means out does."""

import numpy as np
import pytest
import statsmodels.api as sm

from models.effects.random_effects import fit_random_effects, random_effects
from models.effects.within import within_effects


def draw(seed: int = 1, consumers: int = 60, targeting: float = 0.0):
    """Unbalanced rows with slope 2 and intercepts that follow exposure by `targeting`."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(consumers), rng.integers(2, 9, consumers))
    level = rng.normal(0, 3, consumers)
    x = rng.normal(0, 1, len(who)) + targeting * level[who]
    y = 1 + 2 * x + level[who] + rng.normal(0, 1.5, len(who))
    return y, np.column_stack([np.ones(len(who)), x]), who


def test_agrees_with_statsmodels_mixed_model():
    y, x, who = draw()
    fit = fit_random_effects(y, x, who)
    reference = sm.MixedLM(y, x, groups=who).fit(reml=False)
    np.testing.assert_allclose(fit.coefficients, reference.fe_params, rtol=1e-4)
    assert fit.noise_variance == pytest.approx(reference.scale, rel=1e-3)
    assert fit.variance_ratio == pytest.approx(float(reference.cov_re.squeeze()) / reference.scale, rel=1e-2)


def test_is_dense_generalised_least_squares_with_a_clustered_sandwich():
    y, x, who = draw(consumers=25)
    fit = fit_random_effects(y, x, who + 7)  # labels need not start at zero
    v = np.eye(len(y)) + fit.variance_ratio * (who[:, None] == who)
    inverse = np.linalg.inv(v)
    bread = np.linalg.inv(x.T @ inverse @ x)
    b = bread @ x.T @ inverse @ y
    np.testing.assert_allclose(fit.coefficients, b, rtol=1e-9)
    weighted = x.T @ inverse * (y - x @ b)
    meat = sum(np.outer(s, s) for s in (weighted[:, who == i].sum(axis=1) for i in range(25)))
    clustered = 25 / 24 * bread @ meat @ bread
    np.testing.assert_allclose(fit.covariance, clustered, rtol=1e-8)


def test_is_biased_exactly_where_exposure_follows_the_intercept():
    for targeting, is_right in ((0.0, True), (0.3, False)):
        y, x, who = draw(seed=2, consumers=400, targeting=targeting)
        fit = fit_random_effects(y, x, who)
        z = (fit.coefficients[1] - 2) / np.sqrt(fit.covariance[1, 1])
        assert (abs(z) < 3) == is_right
        assert z > -3


def test_effects_of_a_panel(money_panel):
    panel, slopes = money_panel(400, 10, 4, seed=3, targeting=0.0)
    found = random_effects(panel).query("estimand == 'slope' and exposure_distribution == 'panel_rows'")
    z = (found["mean"].to_numpy() - slopes) / found["standard_deviation"].to_numpy()
    assert (np.abs(z) < 3.5).all()
    targeted, slopes = money_panel(400, 10, 4, seed=3, targeting=1.2)
    rows = "channel_id == 'channel1' and estimand == 'slope' and exposure_distribution == 'panel_rows'"
    null, within = (f(targeted).query(rows).iloc[0] for f in (random_effects, within_effects))
    assert slopes[1] == 0
    assert null["interval_lower"] > 0  # the means are left out: a null channel is found to work
    assert within["interval_lower"] < 0 < within["interval_upper"]


def test_a_channel_that_never_varies_has_a_reason(money_panel):
    panel, _ = money_panel(40, 6, 2, seed=4)
    exposures = panel.exposures.copy()
    exposures[:, 0] = 2.0
    found = random_effects(panel.with_exposures(exposures)).set_index("channel_id")
    assert found.loc["channel0", "mean"].isna().all()
    assert (found.loc["channel0", "not_identified_reason"] == "exposure does not vary").all()
    assert found.loc["channel1", "mean"].notna().all()
