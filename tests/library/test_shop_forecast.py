"""The forecast interface, scaled intervals, the baselines behind it and the search that all share."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from models.baselines.shop_btvc import ShopBTVC
from models.baselines.shop_gvar import ShopGVAR
from models.baselines.shop_linear import ShopLinear
from models.baselines.shop_lstm import ShopLSTM
from models.baselines.shop_neural_granger import ShopNeuralGranger
from models.baselines.shop_seasonal_naive import ShopSeasonalNaive
from models.baselines.shop_wide_deep import ShopWideDeep
from models.errors import PanelError
from models.evaluation.forecast_search import SearchSpace, changed, forecast_errors, search
from models.shops.forecast import LEVELS, Forecast, ScaledIntervals, forecast_at
from models.shops.panel import ShopPanel, every_edge_but_from
from models.shops.scaling import ShopScaler

torch.set_num_threads(1)
NODES = ("spend", "visits", "gmv")


def _panel(shops=6, periods=240, seed=0, noise=0.1) -> ShopPanel:
    """GMV rises with yesterday's planned spend (log points), a weekday pattern and an event that is known ahead."""
    rng = np.random.default_rng(seed)
    spend = np.exp(rng.normal(size=(shops, periods)))
    event = (rng.random((shops, periods)) < 0.1).astype(float)
    week = np.array([0.0, 0.1, 0.2, 0.1, 0.0, -0.2, -0.2])[np.arange(periods) % 7]
    level = (
        0.8 * np.log1p(np.roll(spend, 1, axis=1)) + week + 0.5 * event + noise * rng.normal(size=spend.shape)
    )
    visits = np.exp(rng.normal(size=spend.shape))
    values = np.stack([spend, visits, 100 * np.exp(level)], -1)
    return ShopPanel(
        values=values,
        shop_ids=tuple(f"s{n}" for n in range(shops)),
        node_ids=NODES,
        outcome_id="gmv",
        context=event[..., None],
        context_ids=("event",),
        planned_ids=("spend",),
        allowed=every_edge_but_from(NODES, "gmv"),
    )


@dataclass(frozen=True)
class Gaussian:
    """Says the same normal distribution of the outcome always."""

    mean: float
    sd: float

    def forecast(self, history, periods, context_future, planned_future):
        from scipy.stats import norm

        shape = (history.shops_count, periods, 1)
        quantiles = np.broadcast_to(norm.ppf(LEVELS, self.mean, self.sd), (*shape, len(LEVELS)))
        return Forecast(np.full(shape, self.mean), quantiles, LEVELS, (history.outcome_id,), "gaussian")


def _noise_panel(seed=1):
    panel = _panel(10, 200)
    values = np.random.default_rng(seed).normal(5.0, 2.0, panel.values.shape)
    return replace(panel, values=values)


@pytest.mark.parametrize("stated_sd", [0.5, 2.0, 6.0])
def test_scaled_intervals_cover_what_they_state_whatever_the_forecaster_states(stated_sd):
    panel = _noise_panel()
    scaled = ScaledIntervals.learn(Gaussian(5.0, stated_sd), panel, range(50, 120, 5), 4)
    assert scaled.factor == pytest.approx(np.full(4, 2.0 / stated_sd), rel=0.15)
    errors = forecast_errors(scaled, panel, range(130, 196), 4, np.ones(10))
    assert 0.87 < errors.figures(4)["coverage"] < 0.93
    with pytest.raises(ValueError, match="scaled for 4"):
        forecast_at(scaled, panel, 100, 5)


def test_errors_are_those_of_the_definition():
    panel = _noise_panel()
    errors = forecast_errors(Gaussian(5.0, 2.0), panel, [100, 110], 3, np.full(10, 2.0))
    truth = np.stack([panel.values[:, o : o + 3, 2] for o in (100, 110)])
    expected = ((truth - 5.0) / 2.0) ** 2
    assert np.allclose(errors.squared, expected)
    figures = errors.figures(3)
    assert figures["mse_sum"] == pytest.approx(3 * figures["mse_mean"]) == pytest.approx(3 * expected.mean())
    assert figures["width"] == pytest.approx(2 * 1.645, rel=1e-3)


def test_forecaster_sees_nothing_of_the_future_but_context_and_plans():
    panel = _panel()
    seen = {}

    class Spy(Gaussian):
        def forecast(self, history, periods, context_future, planned_future):
            seen.update(history=history, context=context_future, planned=planned_future)
            return super().forecast(history, periods, context_future, planned_future)

    forecast_at(Spy(5.0, 1.0), panel, 200, 7)
    assert seen["history"].periods_count == 200
    assert np.array_equal(seen["context"], panel.context[:, 200:207])
    assert np.array_equal(seen["planned"], panel.values[:, 200:207, :1])


def test_seasonal_naive_repeats_an_exact_season():
    panel = _noise_panel()
    values = np.array(panel.values)
    values[..., 2] = np.arange(200) % 7
    exact = replace(panel, values=values)
    for seasons in (1, 3):
        forecast = forecast_at(ShopSeasonalNaive(seasons=seasons), exact, 150, 9)
        assert np.array_equal(forecast.mean[..., 0], values[:, 150:159, 2])
    with pytest.raises(PanelError, match="Give a longer history"):
        forecast_at(ShopSeasonalNaive(seasons=4), exact, 30, 9)


@pytest.mark.parametrize(
    ("settings", "bound"),
    [
        (ShopBTVC(decay=0.0, channel_penalty=1.0), 0.15),
        (ShopWideDeep(epochs=15, hidden=8, window=3, learning_rate=0.01), 0.25),
        (ShopLSTM(epochs=150, hidden=8, window=7, learning_rate=0.02), 0.25),
        (ShopLinear(window=3, penalty=30.0), 0.15),
        (ShopGVAR(epochs=15, hidden=4, window=3, learning_rate=0.01), 0.25),
        (ShopNeuralGranger(epochs=15, hidden=8, window=3, learning_rate=0.01), 0.25),
    ],
    ids=["btvc", "wide_deep", "lstm", "linear", "gvar", "neural_granger"],
)
def test_baselines_learn_from_plans_context_and_season(settings, bound):
    """Of the outcome's variance about .03 is noise; the rest follows from what a forecaster is told."""
    panel = _panel(noise=0.1)
    fitted = settings.fit(panel.periods(None, 200))
    scale = panel.values[:, :200, 2].std(1)
    errors = forecast_errors(fitted, panel, range(200, 231, 6), 7, scale)
    assert errors.figures(7)["mse_mean"] < bound
    assert 0.7 < errors.figures(7)["coverage"] <= 1.0
    blind = replace(panel, context=np.zeros_like(panel.context))
    worse = forecast_errors(settings.fit(blind.periods(None, 200)), blind, range(200, 231, 6), 7, scale)
    assert worse.figures(7)["mse_mean"] > errors.figures(7)["mse_mean"]


def test_a_group_lasso_takes_away_what_forecasts_nothing():
    panel = _panel().periods(None, 200)
    free, penalised = (
        ShopNeuralGranger(epochs=30, hidden=8, window=2, learning_rate=0.01, penalty=penalty)
        .fit(panel)
        .network
        for penalty in (0.0, 0.03)
    )
    share = [
        (network.first[2].flatten(1).norm(dim=-1) ** 2)[1] / network.first[2].square().sum()
        for network in (free, penalised)
    ]  # of the weights into GMV, those of visits, which do nothing
    assert share[1] < 0.1 * share[0]


def test_search_tries_as_many_for_everyone_logs_them_and_takes_the_best():
    panel = _noise_panel()
    space = SearchSpace(Gaussian(0.0, 1.0), {"mean": (0.0, 3.0, 5.0), "sd": (1.0, 2.0)})
    best, log = search(lambda s, train: s, space, panel, [100, 120], (1, 3), 4, seed=2)
    assert len(log) == 4
    assert log[0]["settings"] == {"mean": 0.0, "sd": 1.0}
    assert len({repr(row["settings"]) for row in log}) == 4
    lowest = min(log, key=lambda row: row["error"])
    assert lowest["settings"] == {"mean": best.mean, "sd": best.sd}
    assert len(space.candidates(100, 0)) == 6


def test_settings_are_changed_inside_settings():
    nested = SearchSpace(Gaussian(0.0, 1.0), {})
    assert changed(nested, {"base.mean": 2.0}).base.mean == 2.0


@pytest.mark.parametrize("outcome_scale", ["standard", "log", "ranks"])
def test_scaler_goes_back_to_the_units_it_came_from(outcome_scale):
    panel = _panel()
    scaler = ShopScaler.learn(panel, "log", outcome_scale)
    scaled = scaler.scaled(panel.values)
    assert np.allclose(scaler.restored(scaled), panel.values)
    assert np.abs(scaled.mean(1)).max() < 0.02
    assert np.abs(scaled.std(1) - 1).max() < 0.05
    beyond = np.array(panel.values)
    beyond[..., 2] *= 3
    assert (scaler.scaled(beyond)[..., 2] > scaled[..., 2].max(1, keepdims=True))[
        np.arange(6), scaled[..., 2].argmax(1)
    ].all()
    with pytest.raises(PanelError, match="values below 0"):
        ShopScaler.learn(_noise_panel(3), "log", "standard")


def test_a_forecast_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        Forecast(np.full((1, 1, 1), np.nan), np.zeros((1, 1, 1, 1)), (0.5,), ("gmv",), "broken")
