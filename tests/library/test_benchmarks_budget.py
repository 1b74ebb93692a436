"""The study of budgets has the world's own truth, counts right, and its worlds' optimum is the closed form."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from benchmarks.study_budget import first_weeks, true_gain, true_response
from benchmarks.study_budget_page import page, summary
from benchmarks.study_demand import summary as demand_summary
from models.budget.allocation import allocate
from models.budget.config import BudgetConfig
from models.plans.spend_plan import SpendPlan
from models.simulate.market_config import MarketChannelSpec, MarketWorldConfig
from models.simulate.markets import MarketWorld, simulate_market_world

CHANNELS = (
    MarketChannelSpec("tv", spend_mean=0.5, roi=1.2, decay=0.6, slope=1.5),
    MarketChannelSpec("search", spend_mean=0.4, roi=2.5, decay=0.3),
)
WORLD = MarketWorldConfig(CHANNELS, 3, 60, date(2022, 1, 3), max_lag=5)
FIRST, PLANNED = 40, 8


def planned(world: MarketWorld) -> SpendPlan:
    weeks = slice(FIRST, FIRST + PLANNED)
    return SpendPlan(
        world.market_ids,
        ("search", "tv"),
        world.period_starts[weeks],
        world.spend[:, weeks][..., ::-1],
        "USD",
    )


def test_truth_is_the_worlds_own_expectation() -> None:
    world = simulate_market_world(WORLD, 4)
    plan = planned(world)
    truth = true_response(world, plan, FIRST)
    other = plan.spend * np.random.default_rng(0).uniform(0.3, 1.7, plan.spend.shape)
    found = []
    for spend in (other, plan.spend):
        whole = np.array(world.spend)
        whole[:, FIRST : FIRST + PLANNED] = spend[..., ::-1]
        whole[:, FIRST + PLANNED : FIRST + PLANNED + 5] = plan.spend.mean(axis=1, keepdims=True)[..., ::-1]
        found.append(world.expected_gmv(whole)[:, : FIRST + PLANNED + 5].sum())
    assert true_gain(truth, other) == pytest.approx(found[0] - found[1], rel=1e-9)
    seen = first_weeks(world, FIRST)
    assert seen.gmv == pytest.approx(world.gmv[:, :FIRST]) and len(seen.period_starts) == FIRST


def test_regret_on_a_world_whose_optimum_is_known() -> None:
    """Hill with slope 1 and no carry-over: 48 cells with marginal returns b p / (x + p)^2 equal where none is at 0."""
    flat = tuple(replace(c, decay=0.0, slope=1.0, half_saturation=3.0, dark_share=0.0) for c in CHANNELS)
    world = simulate_market_world(replace(WORLD, channels=flat, max_lag=0), 4)
    plan = planned(world)
    truth = true_response(world, plan, FIRST)
    people = world.population[:, None, None]
    b = np.broadcast_to(people * world.coefficients[:, None, ::-1], plan.spend.shape)
    p = np.broadcast_to(people * [c.half_saturation * c.spend_mean for c in flat[::-1]], plan.spend.shape)
    root = np.sqrt(b * p)
    best = (plan.total + p.sum()) * root / root.sum() - p
    assert (best > 0).all() and best.sum() == pytest.approx(plan.total)
    config = BudgetConfig(by=("channel", "market", "period"), bounds=(0.0, 40.0), starts=0)
    found = allocate(truth, config)
    brought = truth.totals(best).sum()
    regret = 1.0 - truth.totals(found.proposed.spend).sum() / brought
    assert -1e-9 < regret < 1e-6
    assert 1.0 - truth.totals(plan.spend).sum() / brought > 0.02
    assert found.optimality.gap < 1e-4 * brought


def world_result(gain: float, predicted: float) -> dict:
    row = {
        "rule": "expected gain",
        "predicted": predicted,
        "interval": [predicted - 1.0, predicted + 1.0],
        "gap": 0.01,
        "true_gain": gain,
        "best_gain": 4.0,
    }
    rival = {"rule": "by mean ROI", "true_gain": -1.0, "best_gain": 4.0}
    return {"kind": "k", "variant": "plain", "spend": 10.0, "contribution": 16.0, "rows": [row, rival]}


def test_gains_and_regrets_are_counted() -> None:
    table = summary([world_result(3.0, 2.5), world_result(-1.0, 2.0)]).set_index("rule")
    ours = table.loc["expected gain"]
    assert ours["not_worse"] == 1 and ours["worlds"] == 2 and ours["held"] == 1
    assert ours["true_gain"] == pytest.approx(0.1) and ours["least_true_gain"] == pytest.approx(-0.1)
    assert ours["regret"] == pytest.approx((1.0 / 20 + 5.0 / 20) / 2)
    assert ours["largest_regret"] == pytest.approx(0.25)
    assert table.loc["by mean ROI", "not_worse"] == 0
    content = {
        "command": "make study-budget",
        "provenance": {"date": "2026-11-22", "commit": "0" * 40, "tree_is_clean": True, "cores": 2},
        "weeks": {"fitted": 131, "planned": 13, "later": 12},
        "draws": 5,
        "summary": summary([world_result(3.0, 2.5)]).to_dict("records"),
    }
    text = page(content)
    assert "| k | plain | expected gain | 1 of 1 | 0.250 | 0.300 |" in text
    assert "| by mean ROI | 0 of 1 | – |" in text


def test_errors_of_the_demand_study_are_relative() -> None:
    rows = [{"truth": 2.0, "model": [1.0, 0.5, 1.5]}, {"truth": 1.0, "model": [1.5, 0.5, 2.5]}]
    table = demand_summary([{"kind": "k", "variant": "plain", "seed": 1, "rows": rows}]).iloc[0]
    assert table["error"] == pytest.approx(0.5) and table["bias"] == pytest.approx(0.0)
    assert table["covered"] == 1 and table["width"] == pytest.approx(1.25)
