"""Within-consumer regression: parity with another library, limits, and what it removes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from models.baselines.ols import pooled_ols_effects
from models.effects.within import PERIOD_EFFECTS, demean_two_way, fit_within, within_effects
from models.panel import ConsumerPanel
from models.simulate.consumer_config import ConsumerWorldConfig
from models.simulate.consumers import ConsumerWorld, simulate_consumers


def simulate(seed: int = 5, **changes: object) -> ConsumerWorld:
    return simulate_consumers(replace(ConsumerWorldConfig(), **changes), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def small() -> ConsumerPanel:
    return simulate(consumers_count=60, markets_count=3, periods_count=12).to_panel()


def dummies(index: np.ndarray) -> np.ndarray:
    return (index[:, None] == np.unique(index)[1:]).astype(float)


def test_agrees_with_statsmodels_dummies_and_clustered_covariance(small: ConsumerPanel):
    """Same coefficients and, before the small-sample factor, the same clustered covariance."""
    columns = np.column_stack([small.exposures, np.log1p(small.exposures), small.covariates[:, 1]])
    names = tuple(f"column {k}" for k in range(columns.shape[1]))
    fit = fit_within(small.gmv, columns, names, small.consumer_index, small.period_index)
    design = np.column_stack(
        [columns, np.ones(small.rows_count), dummies(small.consumer_index), dummies(small.period_index)]
    )
    reference = sm.OLS(small.gmv, design).fit(
        cov_type="cluster", cov_kwds={"groups": small.consumer_index, "use_correction": False}
    )
    width = columns.shape[1]
    np.testing.assert_allclose(fit.coefficients, reference.params[:width], rtol=1e-6)
    np.testing.assert_allclose(
        fit.covariance / fit.small_sample_factor,
        reference.cov_params()[:width, :width],
        rtol=1e-5,
        atol=1e-10,
    )
    clusters, rows, periods = small.consumers_count, small.rows_count, len(small.period_starts)
    expected = clusters / (clusters - 1) * (rows - 1) / (rows - width - periods)
    assert fit.small_sample_factor == pytest.approx(expected)


def test_market_period_effects_agree_with_dummies_too(small: ConsumerPanel):
    groups = small.market_index * len(small.period_starts) + small.period_index
    fit = fit_within(small.gmv, small.exposures, tuple("abcde"), small.consumer_index, groups)
    design = np.column_stack(
        [small.exposures, np.ones(small.rows_count), dummies(small.consumer_index), dummies(groups)]
    )
    reference = np.linalg.lstsq(design, small.gmv, rcond=None)[0]
    np.testing.assert_allclose(fit.coefficients, reference[:5], rtol=1e-6)


def test_the_fit_does_not_depend_on_the_blocks_its_rows_come_in(small: ConsumerPanel, monkeypatch):
    columns = np.column_stack([small.exposures, 2 * small.exposures[:, :1]])
    given = (small.gmv, columns, tuple("abcdef"), small.consumer_index, small.period_index)
    whole = fit_within(*given)
    monkeypatch.setattr("models.effects.within.QR_ROWS", 7)
    blocks = fit_within(*given)
    np.testing.assert_allclose(blocks.coefficients, whole.coefficients, rtol=1e-9)
    np.testing.assert_allclose(blocks.covariance, whole.covariance, rtol=1e-9)
    assert blocks.is_estimated.tolist() == whole.is_estimated.tolist() == [True] * 5 + [False]


def test_demeaning_removes_both_sets_of_means(small: ConsumerPanel):
    residuals = demean_two_way(small.exposures, small.consumer_index, small.period_index)
    for group in (small.consumer_index, small.period_index):
        for column in residuals.T:
            assert np.abs(np.bincount(group, column)).max() < 1e-5


def test_a_column_that_repeats_others_is_dropped_and_said(small: ConsumerPanel):
    x = small.exposures[:, :1]
    constant = small.consumer_index[:, None] * 1.0
    columns = np.column_stack([x, 2 * x, constant])
    fit = fit_within(small.gmv, columns, ("x", "twice", "constant"), small.consumer_index, small.period_index)
    assert fit.is_estimated.tolist() == [True, False, False]
    alone = fit_within(small.gmv, x, ("x",), small.consumer_index, small.period_index)
    assert fit.coefficients[0] == pytest.approx(alone.coefficients[0])


def test_a_channel_without_variation_has_a_reason_and_no_number(small: ConsumerPanel):
    exposures = small.exposures.copy()
    exposures[:, 2] = 0.0
    effects = within_effects(small.with_exposures(exposures)).set_index("channel_id").loc["retargeting"]
    assert effects[["mean", "standard_deviation", "interval_lower"]].isna().all(axis=None)
    assert set(effects["not_identified_reason"]) == {"exposure does not vary within consumers"}
    naive = pooled_ols_effects(small.with_exposures(exposures)).set_index("channel_id").loc["retargeting"]
    assert naive["mean"].isna().all()


def test_estimands_of_a_noiseless_linear_panel_are_exact(small: ConsumerPanel):
    """y = consumer + period + 2 tv: slope 2; ATT is 2 x mean exposures of the exposed, contribution 2 x all."""
    tv = small.channel_ids.tolist().index("tv")
    x = small.exposures[:, tv]
    gmv = 100.0 * small.consumer_index + 7.0 * small.period_index + 2.0 * x
    panel = replace(small, gmv=gmv)
    value = within_effects(panel).set_index(["channel_id", "estimand", "exposure_distribution"])["mean"]
    assert value["tv", "slope", "panel_rows"] == pytest.approx(2.0, rel=1e-5)
    assert value["tv", "slope", "exposure_weighted"] == pytest.approx(2.0, rel=1e-5)
    assert value["tv", "att_exposed", "exposed_rows"] == pytest.approx(2.0 * x[x > 0].mean(), rel=1e-5)
    assert value["tv", "contribution", "panel_rows"] == pytest.approx(2.0 * x.sum(), rel=1e-5)
    assert value["email", "slope", "panel_rows"] == pytest.approx(0.0, abs=1e-5)


def test_unknown_period_effects_are_refused(small: ConsumerPanel):
    with pytest.raises(ValueError, match="one of period, market_period"):
        within_effects(small, period_effects="season")


@pytest.mark.parametrize("period_effects", PERIOD_EFFECTS)
def test_strong_targeting_fools_ols_and_not_the_within_regression(period_effects: str):
    """One large confounded world: the null channel is cleared within consumers only."""
    world = simulate(consumers_count=4_000, confounding=0.8)
    panel = world.to_panel()
    truth = world.truth["channel"].query("estimand == 'slope' and exposure_distribution == 'panel_rows'")
    truth = truth.set_index("channel_id")["value"]

    def slopes(effects: pd.DataFrame) -> pd.DataFrame:
        chosen = (effects["estimand"] == "slope") & (effects["exposure_distribution"] == "panel_rows")
        return effects[chosen].set_index("channel_id")

    within = slopes(within_effects(panel, period_effects=period_effects))
    z = (within["mean"] - truth) / within["standard_deviation"]
    assert z.abs().max() < 3
    for with_covariates in (False, True):  # characteristics help a little, and do not save it
        naive = slopes(pooled_ols_effects(panel, with_covariates=with_covariates))
        assert (naive["mean"] > 1.5 * truth).all()
        assert ((naive["mean"] - truth) / naive["standard_deviation"]).mean() > 3
        assert naive.loc["retargeting", "interval_lower"] > 0
