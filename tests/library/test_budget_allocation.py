"""Allocations held to closed-form optima, brute force and differences; limits are kept and refusals say what to do."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.study_budget_optima import closed_form, decide
from models.budget import climb as climbing
from models.budget.allocation import allocate
from models.budget.climb import climb
from models.budget.config import BudgetConfig, SpendGroup
from models.budget.decisions import decisions_of
from models.budget.limits import limits_of
from models.budget.objective import Objective
from models.budget.utility import soft_worst_mean, worst_mean
from models.errors import PanelError
from models.plans.spend_plan import SpendPlan
from models.response.planned_spend import PlannedResponse

WIDE = (0.0, 30.0)


def response_of(
    spend: np.ndarray,
    saturation: str,
    parameters: np.ndarray,
    coefficients: np.ndarray,
    weights: np.ndarray | None = None,
) -> PlannedResponse:
    """spend (J, H, C); parameters (K, C, P), coefficients (K, C, J); weights (K, C, L + 1): no carry-over if None."""
    markets, periods, channels = spend.shape
    draws = len(parameters)
    weights = np.ones((draws, channels, 1)) if weights is None else weights
    lags = weights.shape[2] - 1
    plan = SpendPlan(
        tuple(f"m{j}" for j in range(markets)),
        tuple(f"c{c}" for c in range(channels)),
        np.datetime64("2026-01-05") + 7 * np.arange(periods),
        spend,
        "USD",
    )
    blank = np.zeros((channels, markets, lags))
    return PlannedResponse(
        plan, saturation, weights, parameters, coefficients, np.ones((markets, channels)), blank, blank
    )


@pytest.mark.parametrize("name", ["root", "michaelis_menten", "log", "tanh"])
def test_marginal_returns_are_equal_where_the_optimum_is_known(name: str) -> None:
    """Twenty worlds a curve, one draw or a posterior whose mean curve is known: regret below a millionth."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        b = rng.uniform(3.0, 6.0, 4)
        p = np.full(4, rng.uniform(0.3, 0.7)) if name == "root" else rng.uniform(0.8, 1.2, 4)
        total = 6.0
        spread = np.exp(rng.normal(0, 0.5, (8, 4)))
        draws = b * spread / spread.mean(axis=0)  # KPI is linear in b: the mean curve has b itself
        response = response_of(
            rng.dirichlet(np.ones(4) * 3)[None, None] * total,
            name,
            np.tile(p, (8, 1))[..., None],
            draws[..., None],
        )
        best = closed_form(name, b, p, total)
        assert best.min() > 0 and best.sum() == pytest.approx(total)
        found = allocate(response, BudgetConfig(bounds=WIDE, starts=0))
        reached, optimum = (
            response.totals(s).mean(axis=0).sum() for s in (found.proposed.spend, best[None, None])
        )
        assert reached > (1 - 1e-6) * optimum
        assert found.proposed.spend[0, 0] == pytest.approx(best, abs=0.02 * total)
        marginal = found.table["marginal_roas"][:4].to_numpy()
        assert marginal == pytest.approx(marginal.mean(), rel=2e-2)
        assert 0 <= found.optimality.gap < 1e-3 * optimum and found.optimality.searches_count == 1


def test_the_study_of_optima_measures_regret() -> None:
    found = decide("log", "20 markets x 5 channels", 0)
    assert -1e-9 < found["regret"] < 1e-6 and found["regret"] - 1e-9 <= found["gap"] < 1e-3
    assert found["missed_before"] > 0.005


def test_every_market_and_period_gets_its_own(seed: int = 3) -> None:
    """24 cells of log curves without carry-over, all decided alone: b_i / (x_i + p_i) equal over all of them."""
    rng = np.random.default_rng(seed)
    b, p = rng.uniform(2.0, 3.0, (3, 2)), rng.uniform(1.0, 1.3, 2)
    spend = rng.uniform(0.5, 2.0, (3, 4, 2))
    response = response_of(spend, "log", p[None, :, None], b.T[None])
    found = allocate(response, BudgetConfig(by=("channel", "market", "period"), bounds=WIDE, starts=0))
    cells = np.broadcast_to(b[:, None, :], spend.shape).ravel()
    best = closed_form("log", cells, np.broadcast_to(p, spend.shape).ravel(), spend.sum())
    assert found.proposed.spend.ravel() == pytest.approx(best, abs=2e-3)
    assert found.gain > 0 and found.share_better == 1.0


@pytest.mark.parametrize("goal", [{}, {"target_roas": 1.1}])
def test_many_decisions_are_searched_as_well(monkeypatch: pytest.MonkeyPatch, goal: dict) -> None:
    """240 cells of log curves against the closed form; and both searches agree where both can be used."""
    rng = np.random.default_rng(8)
    b, p = rng.uniform(2.0, 3.0, (5, 4)), rng.uniform(1.0, 1.3, 4)
    spend = rng.uniform(0.5, 2.0, (5, 12, 4))
    config = BudgetConfig(by=("channel", "market", "period"), bounds=WIDE, starts=0, **goal)
    response = response_of(spend, "log", p[None, :, None], b.T[None])
    found = allocate(response, config)
    if not goal:
        cells = np.broadcast_to(b[:, None, :], spend.shape).ravel()
        best = closed_form("log", cells, np.broadcast_to(p, spend.shape).ravel(), spend.sum())
        assert best.min() > 0 and found.proposed.spend.ravel() == pytest.approx(best, abs=5e-3)
    assert found.optimality.gap < 1e-3 * response.totals(found.proposed.spend).sum()
    few = BudgetConfig(bounds=WIDE, groups=(SpendGroup("c0", ("c0",), None, None, 40.0),), starts=0, **goal)
    one = allocate(response, few)
    monkeypatch.setattr(climbing, "FEW", 0)
    other = allocate(response, few)
    assert one.multiples == pytest.approx(other.multiples, rel=1e-3)
    assert one.gain == pytest.approx(other.gain, rel=1e-5)
    assert one.proposed.spend[..., 0].sum() < 40.0 + 1e-3


def s_shaped(draws: int = 1) -> PlannedResponse:
    """Two S-shaped channels with carry-over, spend far below the bend: returns rise with spend."""
    rng = np.random.default_rng(0)
    parameters = np.stack([np.array([[2.0, 3.0], [1.6, 4.0]])] * draws)
    weights = np.tile(np.array([0.6, 0.3, 0.1]), (draws, 2, 1))
    effects = np.array([[10.0], [9.0]]) * np.exp(0.4 * rng.normal(size=(draws, 2, 1)))
    return response_of(np.full((1, 5, 2), 0.75), "hill", parameters, effects, weights)


def test_s_shaped_curves_do_not_trap_the_search() -> None:
    """Brute force over the split; the climb from the current plan alone ends lower, and the bound on the gap holds."""
    response = s_shaped()
    config = BudgetConfig(bounds=(0.0, 2.0), starts=1)
    found = allocate(response, config)
    shares = np.linspace(0.0, 2.0, 2001)
    value = [response.totals(response.plan.spend * [s, 2.0 - s]).sum() for s in shares]
    reached = response.totals(found.proposed.spend).sum()
    assert reached == pytest.approx(max(value), rel=1e-6)
    objective = Objective(response, decisions_of(response.plan, config), config)
    alone = climb(objective, limits_of(objective), np.array([1.2, 0.8]))
    other = climb(objective, limits_of(objective), np.array([0.8, 1.2]))
    assert abs(alone.fun - other.fun) > 0.05
    assert found.optimality.gap >= max(value) - reached - 1e-9
    assert found.optimality.gap < 0.5 * max(value)
    assert not response.is_concave


@pytest.mark.parametrize("risk_share", [1.0, 0.2])
@pytest.mark.parametrize("goal", [{}, {"target_roas": 1.2}, {"target_marginal_roas": 1.5}])
def test_the_bound_by_duality_holds_on_random_plans(goal: dict, risk_share: float) -> None:
    """No allowed plan of 400 random ones is better than what was reached plus the gap; most gaps are small."""
    rng = np.random.default_rng(1)
    relative = []
    for _ in range(4):
        parameters = np.stack([rng.uniform(0.6, 2.0, (30, 3)), rng.uniform(0.8, 2.5, (30, 3))], axis=-1)
        weights = np.tile(np.array([0.7, 0.3]), (30, 3, 1))
        response = response_of(
            rng.uniform(0.3, 1.5, (2, 3, 3)), "hill", parameters, rng.uniform(2.0, 6.0, (30, 3, 2)), weights
        )
        config = BudgetConfig(bounds=(0.2, 2.0), risk_share=risk_share, starts=3, **goal)
        decisions = decisions_of(response.plan, config)
        objective = Objective(response, decisions, config)
        found = allocate(response, config)
        limits = limits_of(objective)
        current = response.totals(response.plan.spend).sum(axis=(1, 2))
        price = config.target_marginal_roas or 0.0

        def utility(m: np.ndarray) -> float:
            gains = response.totals(decisions.spend(m)).sum(axis=(1, 2)) - current  # noqa: B023
            return worst_mean(gains, risk_share) - price * decisions.amounts @ (m - 1.0)  # noqa: B023

        top = utility(found.multiples)
        assert all(limit.left(objective, found.multiples) > -1e-6 for limit in limits)
        tried = rng.uniform(0.2, 2.0, (400, 3))
        if not goal:
            tried *= (decisions.amounts.sum() / (tried @ decisions.amounts))[:, None]
            tried = tried[((tried >= 0.2) & (tried <= 2.0)).all(axis=1)]
        else:
            tried = [m for m in tried if all(limit.left(objective, m) >= 0 for limit in limits)]
        assert len(tried) > 20
        best = max(utility(m) for m in tried)
        assert best <= top + found.optimality.gap + 2e-3 * objective.scale
        assert best <= top + 1e-2 * objective.scale
        relative.append(found.optimality.gap / objective.scale)
    assert np.median(relative) < 0.02


def test_the_worst_share_is_weighed_and_its_gradient_exact() -> None:
    gains = np.array([-4.0, 1.0, 2.0, 5.0, 6.0])
    assert worst_mean(gains, 1.0) == pytest.approx(2.0)
    assert worst_mean(gains, 0.2) == -4.0
    assert worst_mean(gains, 0.3) == pytest.approx((-4.0 + 0.5) / 1.5)
    value, weights = soft_worst_mean(gains, 0.3, 1e-3)
    assert value == pytest.approx(worst_mean(gains, 0.3), abs=5e-3)
    assert weights == pytest.approx([2 / 3, 1 / 3, 0, 0, 0], abs=1e-2)
    _, weights = soft_worst_mean(gains, 0.3, 1.0)
    steps = 1e-5 * np.eye(5)
    slopes = [
        (soft_worst_mean(gains + d, 0.3, 1.0)[0] - soft_worst_mean(gains - d, 0.3, 1.0)[0]) / 2e-5
        for d in steps
    ]
    assert weights == pytest.approx(slopes, abs=1e-6) and weights.sum() == pytest.approx(1.0)


def test_caution_gives_up_mean_for_the_worst_draws() -> None:
    """A channel that is better on average but may be worthless: the mean plan takes it, the cautious one less of it."""
    rng = np.random.default_rng(4)
    effects = np.stack([np.full(200, 1.0), rng.choice([0.1, 2.6], 200)], axis=1)[..., None]
    response = response_of(np.full((1, 1, 2), 1.0), "log", np.ones((200, 2, 1)), effects)
    bold, careful = (
        allocate(response, BudgetConfig(bounds=(0.2, 1.8), risk_share=share)) for share in (1.0, 0.25)
    )
    assert bold.gain > careful.gain
    assert worst_mean(careful.gains, 0.25) > worst_mean(bold.gains, 0.25) + 0.01
    assert careful.worst_gain >= -1e-9
    assert careful.multiples[1] < bold.multiples[1]


def test_targets_are_met_and_not_more() -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(0.8, 1.2, (1, 3, 1))
    response = response_of(np.full((1, 1, 3), 1.0), "log", p, rng.uniform(2.0, 4.0, (1, 3, 1)))
    wide = BudgetConfig(bounds=(0.1, 20.0))
    for target in (1.0, 1.5):
        found = allocate(response, replace(wide, target_roas=target))
        brought = (response.totals(found.proposed.spend) - response.totals(np.zeros((1, 1, 3)))).sum()
        assert brought / found.proposed.total == pytest.approx(target, rel=1e-4)
        marginal = found.table["marginal_roas"][:3].to_numpy()
        assert marginal == pytest.approx(marginal.mean(), rel=1e-2)
        assert found.optimality.gap < 1e-3 * brought
        found = allocate(response, replace(wide, target_marginal_roas=target))
        assert found.table["marginal_roas"][:3].to_numpy() == pytest.approx(target, rel=1e-3)
    with pytest.raises(ValueError, match=r"returns 50 per money spent; .* was the best seen"):
        allocate(response, replace(wide, target_roas=50.0))


def test_limits_are_kept_and_what_cannot_be_is_refused() -> None:
    rng = np.random.default_rng(2)
    spend = rng.uniform(0.5, 1.5, (2, 2, 3))
    spend[1, :, 2] = 0.0
    response = response_of(spend, "log", np.ones((5, 3, 1)), rng.uniform(2.0, 9.0, (5, 3, 2)))
    most = 0.9 * spend[..., :2].sum()
    limits = (SpendGroup("two", ("c0", "c1"), None, None, most), SpendGroup("m1", None, ("m1",), 2.5, None))
    config = BudgetConfig(
        by=("channel", "market"), bounds=(0.2, 3.0), channel_bounds={"c2": (0.5, 2.0)}, groups=limits
    )
    found = allocate(response, config)
    plan = found.proposed
    assert plan.total == pytest.approx(spend.sum())
    assert plan.spend[..., :2].sum() <= most + 1e-5 and plan.spend[1].sum() >= 2.5 - 1e-5
    assert (
        found.multiples.min() > 0.2 - 1e-9 and plan.spend[0, :, 2].sum() <= 2.0 * spend[0, :, 2].sum() + 1e-6
    )
    assert (plan.spend[1, :, 2] == 0).all() and len(found.multiples) == 5
    assert plan.spend[0, 0, 0] / plan.spend[0, 1, 0] == pytest.approx(spend[0, 0, 0] / spend[0, 1, 0])
    sums = found.table[found.table["market_id"].isna() & found.table["channel_id"].isna()].iloc[0]
    assert sums["expected_change"] == pytest.approx(found.gain)
    assert sums["proposed_amount"] == pytest.approx(plan.total)
    with pytest.raises(ValueError, match=r"a total of 1,000 cannot be spent: bounds and groups allow"):
        allocate(response, replace(config, total=1000.0))
    with pytest.raises(ValueError, match="widen one of them"):
        allocate(response, replace(config, groups=(SpendGroup("x", least=1e6),)))
    with pytest.raises(PanelError, match="channels c9: name one or more"):
        allocate(response, replace(config, channel_bounds={"c9": (0.0, 1.0)}))
    with pytest.raises(ValueError, match="decide by channel"):
        allocate(response, replace(config, by=("market",)))
    with pytest.raises(ValueError, match="spends nothing"):
        allocate(replace(response, plan=response.plan.with_spend(0.0 * spend)))
    with pytest.raises(PanelError, match="negative or not finite"):
        response.plan.with_spend(-spend)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"by": ("shop",)}, "by is"),
        ({"total": 1.0, "target_roas": 2.0}, "one goal"),
        ({"total": 0.0}, "above 0"),
        ({"bounds": (2.0, 1.0)}, "least <= most"),
        ({"risk_share": 0.0}, "risk_share"),
        ({"interval_level": 1.0}, "interval_level"),
    ],
)
def test_settings_are_checked_when_built(settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        BudgetConfig(**settings)
    with pytest.raises(ValueError, match="neither least nor most"):
        SpendGroup("x")
