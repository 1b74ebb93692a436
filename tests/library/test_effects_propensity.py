"""Propensity scores: parity with the plain likelihood, only the past among the features, clipping kept apart."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit

from models.effects.overlap import overlap_statistics
from models.effects.propensity import PropensityFit, fit_propensity, history_features
from models.errors import OverlapError
from models.panel import ConsumerPanel
from models.simulate.consumer_config import ConsumerWorldConfig
from models.simulate.consumers import simulate_consumers


@pytest.fixture(scope="module")
def panel() -> ConsumerPanel:
    config = ConsumerWorldConfig(consumers_count=400, markets_count=4, periods_count=15, confounding=0.8)
    return simulate_consumers(config, np.random.default_rng(8)).to_panel()


def test_score_equations_hold(panel: ConsumerPanel):
    """Logistic first-order conditions, with the ridge: X'(d - p) = coefficients / C, and sum(d - p) = 0."""
    fit = fit_propensity(panel, "retargeting")
    features, _ = history_features(panel)
    kept = features.std(axis=0) > 1e-12
    z = (features[:, kept] - features[:, kept].mean(axis=0)) / features[:, kept].std(axis=0)
    gap = fit.treatment - fit.propensity_raw
    np.testing.assert_allclose(z.T @ gap, fit.coefficients, atol=0.5)
    assert abs(gap.sum()) < 0.5
    assert np.ptp(logit(fit.propensity_raw) - z @ fit.coefficients) < 1e-6  # one intercept


def test_features_know_no_future(panel: ConsumerPanel):
    """Changing the last period's exposures and GMV changes no feature of any row."""
    last = panel.period_index == len(panel.period_starts) - 1
    events = panel.exposure_events[:, 1] >= panel.calendar_index[last][0]
    changed = replace(
        panel,
        gmv=np.where(last, 1e6, panel.gmv),
        exposures=np.where(last[:, None], 99.0, panel.exposures),
        exposure_event_counts=np.where(events, 99.0, panel.exposure_event_counts),
    )
    np.testing.assert_allclose(history_features(panel)[0], history_features(changed)[0], rtol=1e-9, atol=1e-7)


def test_earlier_gmv_by_hand(panel: ConsumerPanel):
    features, names = history_features(panel)
    rows = np.flatnonzero(panel.consumer_index == 3)
    expected = [panel.gmv[rows[:k]].mean() if k else 0.0 for k in range(len(rows))]
    expected = np.sign(expected) * np.log1p(np.abs(expected))
    np.testing.assert_allclose(features[rows, names.index("gmv mean so far")], expected, atol=1e-9)
    assert features[rows, names.index("no earlier row")].tolist() == [1.0] + [0.0] * (len(rows) - 1)


def test_clipping_keeps_the_raw_score(panel: ConsumerPanel):
    fit = fit_propensity(panel, "retargeting", clipping_threshold=0.3)
    assert fit.propensity.min() == pytest.approx(0.3)
    assert fit.propensity.max() == pytest.approx(0.7)
    assert fit.propensity_raw.max() > 0.8
    assert fit.propensity_raw.min() < 0.3
    found = overlap_statistics(fit)
    outside = (fit.propensity_raw < 0.3) | (fit.propensity_raw > 0.7)
    assert found["clipped_share"] == pytest.approx(outside.mean())


def test_overlap_statistics_by_hand():
    raw = np.array([0.001, 0.5, 0.5, 0.25])
    fit = PropensityFit(
        channel_id="tv",
        exposure_threshold=0.0,
        clipping_threshold=0.01,
        treatment=np.array([True, True, False, False]),
        propensity_raw=raw,
        propensity=raw.clip(0.01, 0.99),
        feature_names=(),
        coefficients=np.zeros(0),
    )
    found = overlap_statistics(fit)
    assert found["clipped_share"] == 0.25
    assert found["ess_share_treated"] == pytest.approx((100 + 2) ** 2 / (100**2 + 2**2) / 2)
    assert found["ess_share_untreated"] == pytest.approx((2 + 4 / 3) ** 2 / (4 + 16 / 9) / 2)
    assert found["ess_share"] == found["ess_share_treated"]


def test_refuses_what_cannot_be_compared(panel: ConsumerPanel):
    with pytest.raises(OverlapError, match="no other arm"):
        fit_propensity(panel, "tv", exposure_threshold=1e9)
    with pytest.raises(ValueError, match=r"between 0 and 0\.5"):
        fit_propensity(panel, "tv", clipping_threshold=0.5)
    with pytest.raises(ValueError, match="is not in the panel"):
        fit_propensity(panel, "radio")
