"""What a plan brings: the forecast's own contributions, exact derivatives, and no budget without spend."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from benchmarks.normal_fits import normal_fit
from benchmarks.study_response import panel_of
from models.budget.allocation import allocate
from models.budget.config import BudgetConfig
from models.errors import PanelError
from models.response.config import ResponseConfig
from models.response.fit import ResponseFit
from models.response.planned_spend import plan_response, recent_plan, scenario_of, unit_costs
from models.response.returns import return_table
from models.response.scenarios import predict
from models.simulate.market_config import MarketChannelSpec, MarketWorldConfig
from models.simulate.markets import simulate_market_world

CHANNELS = (
    MarketChannelSpec("tv", spend_mean=0.5, roi=1.2, decay=0.6, dark_share=0.0),
    MarketChannelSpec("search", spend_mean=0.4, roi=2.5, decay=0.3, slope=1.6, cost_per_impression=0.02),
)
WORLD = MarketWorldConfig(CHANNELS, 4, 60, date(2022, 1, 3), noise_sd=0.03)
CONFIG = ResponseConfig(max_lag=4, kept_draws=40, noise_differs=0.0, seasonality_order=1)


@pytest.fixture(scope="module")
def fitted() -> ResponseFit:
    return normal_fit(panel_of(simulate_market_world(WORLD, 7), False), CONFIG)


def test_a_plan_brings_what_the_forecast_says(fitted: ResponseFit) -> None:
    plan = recent_plan(fitted, 6)
    assert plan.channel_ids == ("search", "tv") and plan.spend.shape == (4, 6, 2)
    assert plan.spend[..., 1] == pytest.approx(fitted.panel.spend[:, -6:, 1])
    scenario = scenario_of(fitted, plan, np.zeros((4, 6, 1)))
    assert scenario.intensity == pytest.approx(fitted.panel.intensity[:, -6:], rel=1e-9)
    forecast = predict(fitted, scenario)
    totals = plan_response(fitted, plan, "uncounted").totals(plan.spend)
    assert totals == pytest.approx(forecast.contributions.sum(axis=2), rel=1e-9)
    some = np.array([3, 17])
    assert plan_response(fitted, plan).totals(plan.spend, some) == pytest.approx(
        plan_response(fitted, plan).totals(plan.spend)[some]
    )


@pytest.mark.parametrize("after", ["continued", "nothing"])
def test_what_a_plan_leaves_behind_is_counted(fitted: ResponseFit, after: str) -> None:
    """Held to a forecast of the plan with its later periods written out, and to one without the plan."""
    plan = recent_plan(fitted, 6)
    usual = np.repeat(plan.spend.mean(axis=1, keepdims=True), 4, axis=1) * (after == "continued")
    starts = plan.period_starts[0] + 7 * np.arange(10)
    found = []
    for spend in (plan.spend, 0.0 * plan.spend):
        longer = replace(plan, period_starts=starts, spend=np.concatenate([spend, usual], axis=1))
        scenario = scenario_of(fitted, longer, np.zeros((4, 10, 1)))
        found.append(predict(fitted, scenario).contributions.sum(axis=2))
    response = plan_response(fitted, plan, after)
    brought = response.totals(plan.spend) - response.totals(0.0 * plan.spend)
    assert brought == pytest.approx(found[0] - found[1], rel=1e-8)
    cut = plan_response(fitted, plan, "uncounted")
    less = cut.totals(plan.spend) - cut.totals(0.0 * plan.spend)
    assert (brought.mean(axis=0) > [1.0, 1.05] * less.mean(axis=0)).all()


def test_derivatives_are_those_of_the_totals(fitted: ResponseFit) -> None:
    plan = recent_plan(fitted, 5)
    response = plan_response(fitted, plan)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(len(response)))
    weights[::3] = 0.0
    spend = plan.spend * rng.uniform(0.5, 1.5, plan.spend.shape)
    value, slope = response.weighted(spend, weights)
    assert value == pytest.approx(np.tensordot(weights, response.totals(spend), axes=1))
    direction = plan.spend * rng.normal(size=plan.spend.shape)
    step = 1e-4
    moved = (response.totals(spend + step * direction) - response.totals(spend - step * direction)) / (
        2 * step
    )
    along = response.slopes_along(spend, direction)
    assert along == pytest.approx(moved, rel=1e-5, abs=1e-5 * np.abs(moved).max())
    assert (slope * direction).sum() == pytest.approx(float(weights @ along.sum(axis=(1, 2))), rel=1e-8)
    one = np.zeros_like(spend)
    one[2, 3, 0] = 1.0
    assert slope[2, 3, 0] == pytest.approx(
        weights @ response.slopes_along(spend, one).sum(axis=(1, 2)), rel=1e-8
    )


def test_unit_costs_are_what_was_paid(fitted: ResponseFit) -> None:
    per_unit = np.array(fitted.scaling.size)[:, None] * np.array(fitted.scaling.exposure_mean)
    found = unit_costs(fitted.panel, fitted.scaling, ("search", "tv")) / per_unit
    assert found == pytest.approx(np.tile([0.02, 0.01], (4, 1)))
    spend, shown = (np.array(values) for values in (fitted.panel.spend, fitted.panel.intensity))
    spend[1], shown[1] = 0.0, 0.0
    never = replace(fitted.panel, spend=spend, intensity=shown)
    assert unit_costs(never, fitted.scaling, ("search", "tv")) / per_unit == pytest.approx(found)


def test_the_budget_of_a_fit_moves_towards_what_returns_more(fitted: ResponseFit) -> None:
    plan = recent_plan(fitted, 8)
    found = allocate(plan_response(fitted, plan), BudgetConfig())
    assert found.proposed.total == pytest.approx(plan.total)
    national = found.table[found.table["market_id"].isna()].set_index("channel_id")
    marginal = national.loc[["search", "tv"], "current_marginal_roas"]
    more = national["proposed_amount"] > national["current_amount"]
    assert more[marginal.idxmax()] and not more[marginal.idxmin()]
    assert found.gain > 0 and found.interval[0] < found.gain < found.interval[1]
    assert 0.8 < found.share_better <= 1.0
    assert found.optimality.gap < 0.01 * national.loc[["tv", "search"], "current_kpi"].sum()
    roi = return_table(fitted).query("market_id.isna() and estimand == 'roi'").set_index("channel_id")["mean"]
    brought = national["current_kpi"] / national["current_amount"]
    assert brought["search"] == pytest.approx(roi["search"], rel=0.25)


def test_without_spend_there_is_no_budget(fitted: ResponseFit) -> None:
    panel = fitted.panel
    plan = recent_plan(fitted, 5)
    blind = replace(fitted, panel=replace(panel, spend=np.full_like(panel.spend, np.nan)))
    with pytest.raises(
        PanelError, match=r"spend is known of none of the channels search, tv.*Give spend_amount"
    ):
        recent_plan(blind, 5)
    with pytest.raises(PanelError, match="spend of channel 'search' is unknown"):
        plan_response(blind, plan)
    half = np.array(panel.spend)
    half[0, 3, 1] = np.nan
    partly = replace(fitted, panel=replace(panel, spend=half))
    assert recent_plan(partly, 5).channel_ids == ("search",)
    with pytest.raises(PanelError, match="spend of channel 'tv' is unknown in 1 active"):
        recent_plan(partly, 5, ("search", "tv"))
    with pytest.raises(PanelError, match="the panel in USD"):
        plan_response(fitted, replace(plan, currency_code="EUR"))
    with pytest.raises(PanelError, match="starts with the next one"):
        plan_response(fitted, replace(plan, period_starts=plan.period_starts + 14))
    with pytest.raises(PanelError, match="plan 1 or more"):
        recent_plan(fitted, 61)
    with pytest.raises(ValueError, match="after is 'later'"):
        plan_response(fitted, plan, "later")
    with pytest.raises(PanelError, match="every market"):
        scenario_of(fitted, plan.part(("m001",), ("tv",), 2))
    with pytest.raises(PanelError, match="ask for 1 or more"):
        plan.part(("m001",), ("tv",), 9)
