"""A whole fit on a small world whose ROI is known, and everything that is made of its draws."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from models.errors import GraphError, PanelError
from models.response.absorption import require_absorbed
from models.response.calibration import calibration_table, predicted_lifts
from models.response.causal_graph import graph_from_yaml
from models.response.config import ResponseConfig
from models.response.contributions import baseline, coefficients, contributions, curves_of
from models.response.density import ResponseDensity
from models.response.fit import ResponseFit, fit_response
from models.response.lift_tests import LiftTest, lift_tests_from_frame
from models.response.market_panel import MarketPanel
from models.response.priors import ChannelPriors, EffectPrior, LogitNormal, LogNormal, Normal
from models.response.problem import build_problem
from models.response.returns import response_curve, return_table
from models.response.sampler import find_mode
from models.response.scaling import Scaling
from models.response.scenarios import Scenario, predict
from models.simulate.market_config import MarketChannelSpec, MarketWorldConfig
from models.simulate.market_lift_tests import LiftTestSpec, lift_tests_frame, run_lift_test
from models.simulate.market_truth import truth_table
from models.simulate.markets import MarketWorld, mart_frames, simulate_market_world
from models.transforms.carryover_kernels import carry_over, geometric_kernel
from models.transforms.saturation import saturate

CHANNELS = (
    MarketChannelSpec("search", spend_mean=0.4, roi=2.5, decay=0.3),
    MarketChannelSpec("tv", spend_mean=0.5, roi=1.5, decay=0.6),
)
WORLD = MarketWorldConfig(
    channels=CHANNELS, markets_count=8, periods_count=90, start_date=date(2022, 1, 3), noise_sd=0.03
)
FIT_PERIODS = 78
CONFIG = ResponseConfig(max_lag=8, chains=2, draws=150, tune=60, kept_draws=150, noise_differs=0.0)


def panel_of(world: MarketWorld, periods: int | None = None) -> MarketPanel:
    frames = mart_frames(world)
    names = ("market_periods", "market_channel_periods", "market_covariate_periods", "mediator_periods")
    last = world.period_starts[-1 if periods is None else periods - 1]
    kept = [frames[n][pd.to_datetime(frames[n]["period_start_date"]) <= last] for n in names]
    return MarketPanel.from_frames(
        *kept,
        currency_code="USD",
        period="week",
        population=dict(zip(world.market_ids, world.population, strict=True)),
    )


@pytest.fixture(scope="module")
def world() -> MarketWorld:
    return simulate_market_world(WORLD, 11)


@pytest.fixture(scope="module")
def fitted(world: MarketWorld) -> ResponseFit:
    return fit_response(panel_of(world, FIT_PERIODS), CONFIG)


def truth_of(world: MarketWorld) -> pd.DataFrame:
    """ROI over the weeks of the fit."""
    shown = world.spend[:, :FIT_PERIODS]
    brought = world.contributions(world.spend)[:, :FIT_PERIODS]
    return brought.sum(axis=(0, 1)) / shown.sum(axis=(0, 1))


def test_known_roi_is_recovered(world: MarketWorld, fitted: ResponseFit) -> None:
    """Each within four posterior sd and 25 %, the average within 15 %; zero and twice the truth are excluded."""
    table = return_table(fitted).query("market_id.isna() and estimand == 'roi'").set_index("channel_id")
    truth = truth_of(world)
    mean, sd = table["mean"].to_numpy(), table["standard_deviation"].to_numpy()
    assert (np.abs(mean - truth) < np.minimum(4 * sd, 0.25 * truth)).all()
    assert np.abs(mean / truth - 1).mean() < 0.15
    assert (table["interval_lower"] > 0.4 * truth).all() and (table["interval_upper"] < 1.8 * truth).all()


def test_spend_that_moved_nothing_is_told_from_spend_that_did(world: MarketWorld) -> None:
    """The positive control of the recovery: with search's spend of other markets, its ROI is not found, by the mode."""
    panel = panel_of(world, FIT_PERIODS)
    swapped = replace(panel, intensity=_swapped(panel.intensity), spend=_swapped(panel.spend))
    config = replace(CONFIG, priors={"search": ChannelPriors(EffectPrior("roi", Normal(0.0, 5.0)))})
    found = []
    for one in (panel, swapped):
        density = ResponseDensity(build_problem(one, config, Scaling.of_panel(one)))
        at = density.evaluate(find_mode(density).mode)
        found.append(5.0 * at.posterior.common_mean[-1])
    assert found[0] > 1.5 and abs(found[1]) < 1.0


def _swapped(values: np.ndarray) -> np.ndarray:
    moved = values.copy()
    moved[..., 0] = np.roll(values[::-1, :, 0], 31, axis=1)
    return moved


def test_contributions_and_baseline_are_the_expected_kpi(fitted: ResponseFit) -> None:
    """Held to the fit's own expectation, computed from the Gaussian's columns, and to the reference transforms."""
    exposures = fitted.scaling.exposures(fitted.panel.intensity)
    kpi_mean = np.array(fitted.scaling.kpi_mean)
    draws = fitted.draws
    for k, brought in zip((0, 1, 2), contributions(fitted, range(3)), strict=True):
        decay, half, slope = draws.curve[k].T
        f = saturate(
            "hill",
            carry_over(exposures, geometric_kernel(decay, 8)[:, None]),
            half[:, None, None],
            slope[:, None, None],
        )
        roi = draws.effect[k].T[:, :, None]
        by_definition = roi * fitted.panel.spend.sum(axis=1).T[:, :, None] * f / f.sum(axis=2, keepdims=True)
        assert brought == pytest.approx(by_definition.transpose(1, 2, 0), rel=1e-6)
        years = (fitted.panel.period_starts - fitted.panel.period_starts[0]).astype(float) / 365.25
        years = years - years.mean()
        share = draws.level[k][:, None] + draws.trend[k][:, None] * years + draws.shock[k]
        share = share + 0.3 * years * draws.common[k][0] + 0.3 * _waves(fitted) @ draws.common[k][1:5]
        price = fitted.panel.controls[..., 0]
        share = share + 0.3 * draws.common[k][5] * (price - price.mean()) / price.std()
        expected = kpi_mean[:, None] * share + by_definition.sum(axis=0)
        assert baseline(fitted, k) + brought.sum(axis=2) == pytest.approx(expected, rel=1e-6)


def _waves(fitted: ResponseFit) -> np.ndarray:
    years = (fitted.panel.period_starts - fitted.panel.period_starts[0]).astype(float) / 365.25
    return np.stack([f(2 * np.pi * n * years) for n in (1, 2) for f in (np.cos, np.sin)], axis=-1)


def test_expected_kpi_leaves_noise_of_the_size_that_was_drawn(
    world: MarketWorld, fitted: ResponseFit
) -> None:
    expected = np.mean(
        [baseline(fitted, k) + one.sum(axis=2) for k, one in enumerate(contributions(fitted))], axis=0
    )
    residual = (fitted.panel.kpi - expected) / world.level[:, None]
    assert residual.std() == pytest.approx(WORLD.noise_sd, rel=0.12)
    assert abs(residual.mean()) < 0.002


def test_tables_of_returns(world: MarketWorld, fitted: ResponseFit) -> None:
    table = return_table(fitted)
    assert len(table) == 2 * 3 * (8 + 1)
    wide = table.pivot_table(
        index=["market_id", "channel_id"], columns="estimand", values="mean", dropna=False
    )
    roi, marginal = wide["roi"].dropna(), wide["marginal_roi"].dropna()
    assert (marginal < 1.2 * roi).all() and (marginal > 0).mean() > 0.9
    for channel in ("search", "tv"):
        curve = response_curve(fitted, channel, (0.0, 0.999, 1.0, 1.001))
        mean = curve["mean"].to_numpy()
        one = table.query("market_id.isna() and channel_id == @channel").set_index("estimand")["mean"]
        assert mean[0] == 0.0
        assert mean[2] == pytest.approx(one["contribution"])
        assert curve["spend_amount"][2] * one["roi"] == pytest.approx(one["contribution"])
        slope = (mean[3] - mean[1]) / (0.002 * curve["spend_amount"][2])
        assert slope == pytest.approx(one["marginal_roi"], rel=1e-4)
    alone = response_curve(fitted, "tv", (1.0,), market_id="m003")["mean"][0]
    row = table.query("market_id == 'm003' and channel_id == 'tv' and estimand == 'contribution'")
    assert alone == pytest.approx(row["mean"].item())


def test_a_plan_is_forecast_with_honest_intervals(world: MarketWorld, fitted: ResponseFit) -> None:
    ahead = slice(FIT_PERIODS, FIT_PERIODS + 12)
    starts, spend = world.period_starts[ahead], world.impressions[:, ahead]
    order = [WORLD.channel_ids.index(c) for c in fitted.scaling.channel_ids]
    plan = Scenario(starts, spend[..., order], world.price[:, ahead, None])
    forecast = predict(fitted, plan)
    lower, upper = np.quantile(forecast.kpi, [0.05, 0.95], axis=0)
    actual = world.gmv[:, ahead]
    assert 0.8 < ((actual >= lower) & (actual <= upper)).mean() <= 1.0
    brought = forecast.contributions.mean(axis=0).sum(axis=(0, 1))
    truth = world.contributions(world.spend)[:, ahead].sum(axis=(0, 1))[order]
    assert brought == pytest.approx(truth, rel=0.35)
    nothing = predict(fitted, replace(plan, intensity=np.zeros_like(plan.intensity)))
    carried = nothing.contributions.mean(axis=(0, 1))
    assert (carried[0] > 0).all() and (np.abs(carried[9:]) < 1e-9).all()
    with pytest.raises(PanelError, match="price"):
        predict(fitted, replace(plan, controls=None))
    with pytest.raises(PanelError, match="starts with the next one"):
        predict(fitted, replace(plan, period_starts=starts + np.timedelta64(14, "D")))


def test_the_same_settings_give_the_same_draws_whatever_the_threads() -> None:
    panel = panel_of(simulate_market_world(replace(WORLD, markets_count=2, periods_count=20), 1))
    short = replace(CONFIG, draws=20, tune=20, kept_draws=10, max_lag=2, shocks="none", seasonality_order=0)
    one, two = fit_response(panel, short), fit_response(panel, replace(short, threads=2))
    assert np.array_equal(one.parameters, two.parameters)
    assert np.array_equal(one.draws.effect, two.draws.effect)
    assert not np.array_equal(one.parameters[0], one.parameters[1])


def test_a_lift_test_brings_a_confounded_channel_back() -> None:
    """Modes alone: spend that follows a demand nobody records, then the same with a sharp test of the channel."""
    confounded = replace(WORLD, demand_sd=0.3, demand_autocorrelation=0.5, demand_on_spend=0.4)
    drawn = simulate_market_world(confounded, 3)
    panel, treated = panel_of(drawn), drawn.market_ids[:4]
    spec = LiftTestSpec("t", ("tv",), treated, 60, 12, 26, 1.0)
    test = run_lift_test(drawn, spec, np.random.default_rng(0))
    sharp = replace(test, lift=test.true_lift, standard_error=test.true_lift / 50)
    lifts = lift_tests_from_frame(lift_tests_frame([sharp]), "gmv")
    truth = truth_table(drawn).query("market_id in @treated and channel_id == 'tv'")["roi"].mean()
    errors = []
    for tests in ((), lifts):
        density = ResponseDensity(build_problem(panel, CONFIG, Scaling.of_panel(panel), tests))
        at = density.evaluate(find_mode(density).mode)
        deviation = at.spread[1] * at.posterior.own_mean[:4, density.first_channel + 1]
        errors.append(abs((at.mean[1] + deviation).mean() / truth - 1))
    assert errors[0] > 0.8 and errors[1] < 0.35


def test_lifts_are_predicted_by_the_counterfactual(world: MarketWorld, fitted: ResponseFit) -> None:
    """Held to contributions computed again on a panel without what the test added; and near the truth."""
    spec = LiftTestSpec("t", ("tv", "search"), world.market_ids[:3], 40, 6, 20, 0.5)
    test = run_lift_test(world, spec, np.random.default_rng(0))
    lifts = lift_tests_from_frame(lift_tests_frame([test]), "gmv")
    table = predicted_lifts(fitted, lifts)
    less = fitted.panel.intensity.copy()
    less[:3, 40:46] *= 0.5
    curves = curves_of(fitted, fitted.scaling.exposures(less))
    total = 0.0
    for k, brought in enumerate(contributions(fitted)):
        without = coefficients(fitted, k)[:, :, None] * curves.forward(fitted.draws.curve[k]).values
        total += (brought[:3, 40:46].sum() - without[:, :3, 40:46].sum()) / len(fitted.draws)
    assert table["mean"][0] == pytest.approx(total, rel=1e-6)
    assert table["mean"][0] == pytest.approx(test.true_lift, rel=0.25)
    same = calibration_table(fitted, fitted)
    assert len(same) == 6 and (same["shift"] == 0).all() and (same["width_ratio"] == 1).all()


def test_a_refresh_keeps_the_scaling(world: MarketWorld, fitted: ResponseFit) -> None:
    stored = Scaling.from_dict(fitted.scaling.as_dict())
    assert stored == fitted.scaling
    longer = panel_of(world)
    assert Scaling.of_panel(longer) != stored
    problem = build_problem(longer, CONFIG, stored)
    assert problem.exposures[:, :, :FIT_PERIODS] == pytest.approx(
        fitted.scaling.exposures(fitted.panel.intensity)
    )
    with pytest.raises(PanelError, match="m007"):
        build_problem(panel_of(simulate_market_world(replace(WORLD, markets_count=7), 1)), CONFIG, stored)


def test_what_cannot_be_fitted_is_refused_with_what_is_missing(world: MarketWorld) -> None:
    panel = panel_of(world, 20)
    unknown = replace(panel, spend=np.full_like(panel.spend, np.nan))
    scaling = Scaling.of_panel(unknown)
    assert [e.kind for e in build_problem(unknown, CONFIG, scaling).effects] == ["contribution"] * 2
    asked = replace(CONFIG, priors={"tv": ChannelPriors(EffectPrior("roi", LogNormal(1.0, 1.0)))})
    with pytest.raises(PanelError, match="spend of channel 'tv' is unknown"):
        build_problem(unknown, asked, scaling)
    with pytest.raises(PanelError, match="radio"):
        build_problem(panel, replace(CONFIG, priors={"radio": ChannelPriors()}), Scaling.of_panel(panel))
    late = LiftTest(
        "late",
        ("tv",),
        ("m000",),
        np.datetime64("2031-01-06"),
        np.datetime64("2031-03-06"),
        1.0,
        None,
        1.0,
        1.0,
    )
    much = replace(late, start=panel.period_starts[3], end=panel.period_starts[5], spend_delta=1e12)
    mixed = replace(much, channel_ids=("tv", "search"), spend_delta=None, exposures_delta=5.0)
    for test, told in ((late, "runs from 2031"), (much, "contains the test"), (mixed, "units need not")):
        with pytest.raises(PanelError, match=told):
            build_problem(panel, CONFIG, Scaling.of_panel(panel), (test,))
    national = panel_of(simulate_market_world(replace(WORLD, markets_count=1, periods_count=20), 1))
    with pytest.raises(PanelError, match="noise by another name"):
        build_problem(national, replace(CONFIG, shocks="independent"), Scaling.of_panel(national))
    flat = replace(panel, controls=np.ones_like(panel.controls))
    with pytest.raises(PanelError, match="does not vary"):
        Scaling.of_panel(flat)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kernel": "forever"}, "kernel is 'forever'"),
        ({"chains": 1}, "R-hat"),
        ({"kept_draws": 0}, "1 or more"),
        ({"priors": {"tv": ChannelPriors(None, {"shape": LogNormal(1.0, 1.0)})}}, "shape"),
        (
            {"priors": {"tv": ChannelPriors(None, {"decay": LogNormal(0.5, 1.0)})}},
            "decay lies between 0 and 1",
        ),
        ({"priors": {"tv": ChannelPriors(None, {"decay": LogitNormal(0.5, 1.0, 2.0)})}}, "upper at most 1"),
    ],
)
def test_settings_are_checked_when_built(settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ResponseConfig(**settings)


def test_period_effects_absorb_nothing_where_there_are_none(world: MarketWorld) -> None:
    graph = graph_from_yaml(
        """
        channels: [search, tv]
        confounders: [{name: demand, observed: false, absorbed_by: period}]
        outcome: gmv
        edges: [demand -> search, demand -> gmv, search -> gmv, tv -> gmv]
        """
    )
    panel = panel_of(world, 20)
    national = panel_of(simulate_market_world(replace(WORLD, markets_count=1, periods_count=20), 1))
    require_absorbed(graph, panel, CONFIG)
    for one, config, told in (
        (national, CONFIG, "demand: absorbed_by period, but the panel has one market"),
        (panel, replace(CONFIG, shocks="none"), "shocks are 'none'"),
    ):
        with pytest.raises(GraphError, match=told):
            require_absorbed(graph, one, config)
