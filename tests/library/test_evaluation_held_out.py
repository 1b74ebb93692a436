"""Held-out accuracy: the world is foreseen better than by last year's purchases, within the stated intervals."""

from dataclasses import replace

import numpy as np
import pytest

from models.errors import PanelError
from models.evaluation.held_out import held_out_accuracy
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.fit import fit_hbmmm
from models.hbmmm.statistics import SufficientStatistics

CONFIG = HBMMMConfig(inference="laplace", draws=50, effect_draws=50, seed=1)


@pytest.fixture(scope="module")
def panel(money_panel):
    return money_panel(100, 16, seed=2)[0]


@pytest.fixture(scope="module")
def fit(panel):
    return fit_hbmmm(SufficientStatistics.from_panel(panel), panel.characteristics, CONFIG)


def test_the_model_is_near_the_noise_and_ahead_of_seasonal_naive(fit, panel):
    found = held_out_accuracy(fit, panel)
    assert 10.0 <= found.rmse < 13.5  # the world's noise is 10, its period effects are not foreseen
    assert found.rmse < 0.9 * found.rmse_seasonal_naive
    assert abs(found.interval_coverage - found.interval_level) < 0.05
    assert found.rmse_champion is None and found.rows_count > 100


def test_a_champion_of_the_same_settings_is_as_good_and_one_that_sees_less_is_worse(fit, panel):
    same = held_out_accuracy(fit, panel, replace(fit.config, seed=9, draws=77))
    assert same.rmse_champion == same.rmse
    tight = held_out_accuracy(fit, panel, replace(fit.config, prior_consumer_intercept_scale=1e-3))
    assert tight.rmse_champion > 1.1 * tight.rmse


def test_what_is_held_out_does_not_reach_the_prediction(fit, panel):
    last = np.isin(panel.period_index, np.argsort(panel.period_starts)[-3:])
    spoilt = replace(panel, gmv=np.where(last, panel.gmv + 1000.0, panel.gmv))
    found = held_out_accuracy(fit, spoilt)
    assert found.rmse == pytest.approx(1000.0, rel=0.02)


def test_a_panel_too_short_is_refused(fit, money_panel):
    with pytest.raises(PanelError, match="shorter horizon"):
        held_out_accuracy(fit, money_panel(20, 3, seed=2)[0])
