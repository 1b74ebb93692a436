"""Planned geo tests: power as simulated, precision as the world has it, the table of what to run next."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from benchmarks.normal_fits import normal_fit
from benchmarks.study_response import panel_of
from models.budget.config import BudgetConfig
from models.budget.next_experiments import ExperimentConfig, next_experiments
from models.budget.power import detectable_lift, power
from models.errors import PanelError
from models.response.config import ResponseConfig
from models.response.fit import ResponseFit
from models.response.geo_tests import (
    GeoTest,
    candidate_tests,
    geo_forecasts,
    lift_estimate,
    residual_autocorrelation,
    standard_error,
)
from models.response.planned_spend import plan_response, recent_plan
from models.simulate.market_config import MarketChannelSpec, MarketWorldConfig
from models.simulate.market_lift_tests import LiftTestSpec, run_lift_test
from models.simulate.markets import MarketWorld, simulate_market_world

CHANNELS = (
    MarketChannelSpec("tv", spend_mean=0.5, roi=1.2, decay=0.6, dark_share=0.0),
    MarketChannelSpec("search", spend_mean=0.4, roi=2.5, decay=0.3, dark_share=0.0),
)
WORLD = MarketWorldConfig(CHANNELS, 8, 80, date(2022, 1, 3), noise_sd=0.04)
CONFIG = ResponseConfig(max_lag=6, kept_draws=200, seasonality_order=2, noise_differs=0.0)


@pytest.fixture(scope="module")
def world() -> MarketWorld:
    return simulate_market_world(WORLD, 3)


@pytest.fixture(scope="module")
def fitted(world: MarketWorld) -> ResponseFit:
    return normal_fit(panel_of(world, False), CONFIG)


def test_precision_is_that_of_the_world(world: MarketWorld, fitted: ResponseFit) -> None:
    """The simulator's own standard error, from the noise it drew with."""
    treated = ("m001", "m004", "m006")
    spec = LiftTestSpec("t", ("tv",), treated, 60, 6, 20, 0.5)
    truth = run_lift_test(world, spec, np.random.default_rng(0)).standard_error
    found = standard_error(fitted, GeoTest("t", ("tv",), treated, 6, -0.5, 20))
    level = (
        world.gmv.mean(axis=1) / world.level
    )  # tests are read in shares of KPI, worlds in shares of the baseline
    assert found == pytest.approx(truth, rel=0.15)
    assert (level > 1).all() and residual_autocorrelation(fitted) < 0.15


@pytest.mark.parametrize(("treated_count", "correlation"), [(4, 0.0), (2, 0.0), (4, 0.6), (8, 0.0)])
def test_power_is_what_simulated_tests_find(
    fitted: ResponseFit, treated_count: int, correlation: float
) -> None:
    """4,000 tests of the fit's noise and shocks, read as the module says; a wrong autocorrelation would show."""
    rng = np.random.default_rng(1)
    names = fitted.scaling.market_ids
    test = GeoTest("t", ("tv",), names[:treated_count], 5, -1.0, 15)
    error = standard_error(fitted, test, correlation)
    noise = np.sqrt(np.mean(fitted.draws.noise**2, axis=0))
    shock = np.sqrt(np.mean(fitted.draws.shock_sd**2))
    drawn = noise[:, None] * _autoregression(rng, (4000, 8, 20), correlation)
    drawn += shock * _autoregression(rng, (4000, 1, 20), float(fitted.draws.shock_memory.mean()))
    level = np.array(fitted.scaling.kpi_mean)
    treated = np.arange(8) < treated_count
    estimates = lift_estimate(level[:, None] * (1.0 + drawn), level, treated, 5, 15)
    assert estimates.std() == pytest.approx(error, rel=0.05)
    for lift in (0.0, detectable_lift(error, 0.5), detectable_lift(error, 0.8)):
        found = (np.abs(estimates + lift) > 1.6449 * error).mean()
        assert found == pytest.approx(float(power(lift, error)), abs=0.03)
    moved = level[:, None] * (1.0 + drawn[:1])
    moved[:, treated, -5:] += 7.0
    assert lift_estimate(moved, level, treated, 5, 15)[0] - estimates[0] == pytest.approx(
        7.0 * 5 * treated_count
    )


def _autoregression(rng: np.random.Generator, shape: tuple[int, ...], rho: float) -> np.ndarray:
    drawn = rng.standard_normal(shape)
    for t in range(1, shape[-1]):
        drawn[..., t] = rho * drawn[..., t - 1] + np.sqrt(1 - rho**2) * drawn[..., t]
    return drawn


def test_what_a_test_is_expected_to_bring(fitted: ResponseFit) -> None:
    """Held to the response to a plan with the change written out."""
    plan = recent_plan(fitted, 8)
    test = GeoTest("t", ("search",), ("m002", "m005"), 3, -1.0, 20)
    found = geo_forecasts(fitted, plan, [test])[0]
    changed = np.array(plan.spend)
    changed[[2, 5], :3, 0] = 0.0
    assert found.spend_change == pytest.approx(float((changed - plan.spend).sum()))
    response = plan_response(fitted, plan)
    brought = (response.totals(changed) - response.totals(plan.spend)).sum(axis=(1, 2))
    assert (found.lifts < 0).all() and (found.brought < found.lifts).all()
    assert found.brought.mean() == pytest.approx(brought.mean(), rel=0.1)
    assert found.lifts == pytest.approx(plan_window(fitted, plan, changed), rel=1e-9)


def plan_window(fitted: ResponseFit, plan, changed: np.ndarray) -> np.ndarray:
    cut = plan.part(plan.market_ids, plan.channel_ids, 3)
    response = plan_response(fitted, cut, "uncounted")
    return (response.totals(changed[:, :3]) - response.totals(cut.spend)).sum(axis=(1, 2))


def test_the_next_experiment_is_the_one_worth_its_cost(fitted: ResponseFit) -> None:
    plan = recent_plan(fitted, 8)
    tests = candidate_tests(plan, fitted.scaling.kpi_mean, (4, 8, 12), (-1.0, 0.5), 20)
    assert len(tests) == 2 * 2 * 2 * 2 and {test.periods_count for test in tests} == {4, 8}
    assert {len(test.market_ids) for test in tests} == {2, 4}
    listed = geo_forecasts(fitted, plan, tests[:8])
    blind = replace(
        listed[0], test=replace(tests[0], name="blind"), standard_error=1e4 * listed[0].standard_error
    )
    response = plan_response(fitted, plan)
    found = next_experiments(response, [*listed, blind], BudgetConfig(), ExperimentConfig(margin=0.5))
    table = found.table.set_index("name")
    assert (table["net_value"].diff().dropna() <= 0).all()
    assert table.loc["blind", "information_gain"] < 1e-3 * found.perfect_gain
    assert table.loc["blind", "power"] == pytest.approx(0.1, abs=0.01)
    assert (table["information_gain"] <= found.perfect_gain * 1.02).all()
    one = table.loc[listed[0].name]
    assert one["cost"] == pytest.approx(listed[0].spend_change - 0.5 * listed[0].brought.mean())
    paid = np.maximum(table["cost"], 0.0)
    assert (table["net_value"] - (0.5 * table["information_gain"] - paid)).abs().max() < 1e-6
    longer, shorter = (
        next(t for t in tests[:8] if t.periods_count == n and t.change == -1.0) for n in (8, 4)
    )
    assert table.loc[longer.name, "information_gain"] > 0.9 * table.loc[shorter.name, "information_gain"]
    assert table["information_gain"].max() > 0.05 * found.perfect_gain > 0
    with pytest.raises(ValueError, match="at least one"):
        next_experiments(response, [])
    with pytest.raises(ValueError, match="risk_share 1"):
        next_experiments(response, listed, BudgetConfig(risk_share=0.2))
    with pytest.raises(ValueError, match="make both of one fit"):
        next_experiments(response, [replace(listed[0], lifts=np.zeros(3))])


def test_what_cannot_be_run_is_refused(fitted: ResponseFit) -> None:
    plan = recent_plan(fitted, 8)
    test = GeoTest("t", ("tv",), ("m000",), 4, -1.0, 20)
    with pytest.raises(PanelError, match="markets nowhere"):
        geo_forecasts(fitted, plan, [replace(test, market_ids=("nowhere",))])
    with pytest.raises(PanelError, match="ask for 1 or more"):
        geo_forecasts(fitted, plan, [replace(test, periods_count=9)])
    with pytest.raises(PanelError, match="Compare with fewer"):
        geo_forecasts(fitted, plan, [replace(test, pre_periods_count=100)])
    with pytest.raises(PanelError, match="nothing is planned there"):
        geo_forecasts(fitted, plan.with_spend(0.0 * plan.spend), [test])
    with pytest.raises(ValueError, match="give -1 or more, not 0"):
        replace(test, change=0.0)
    with pytest.raises(ValueError, match="above 0"):
        ExperimentConfig(margin=0.0)
