"""Allocation: what to spend on what, what that brings against the current plan, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.budget.config import BudgetConfig
from models.budget.decisions import decisions_of
from models.budget.objective import Objective
from models.budget.search import Optimality, search
from models.budget.spend_response import SpendResponse
from models.budget.utility import worst_mean
from models.plans.spend_plan import SpendPlan


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """A proposed plan beside the current one; K draws.

    multiples (V,) : what was decided, in multiples of the current spend
    gains (K,) : KPI of the proposed less the current plan, carried-over KPI included as the response counts it
    gain, interval : mean and bounds; share_better : draws in which the proposed plan brings more
    worst_gain : mean gain in the worst risk_share of draws (all draws for 1)
    table : market_id (None: all), channel_id (None: all), current_amount, proposed_amount, current_kpi, proposed_kpi
        (means: what the plan's spend brings, against spending nothing in the plan), proposed_kpi_lower, _upper,
        expected_change, change_lower, change_upper, current_marginal_roas, marginal_roas, marginal_roas_lower, _upper
        (of the proposed plan: KPI per money of the next, spread as planned)
    optimality : how good the search says it is
    """

    current: SpendPlan
    proposed: SpendPlan
    config: BudgetConfig
    multiples: np.ndarray
    gains: np.ndarray
    gain: float
    interval: tuple[float, float]
    share_better: float
    worst_gain: float
    table: pd.DataFrame
    optimality: Optimality


def allocate(response: SpendResponse, config: BudgetConfig | None = None) -> Allocation:
    """The best allocation found within the limits, judged on all draws.

    Raises ValueError where no allocation keeps the limits or reaches the target, PanelError for names the plan lacks.
    """
    config = config or BudgetConfig()
    decisions = decisions_of(response.plan, config)
    multiples, optimality = search(Objective(response, decisions, config))
    proposed = response.plan.with_spend(decisions.spend(multiples))
    brought = {
        name: response.totals(plan.spend)
        for name, plan in (("current", response.plan), ("proposed", proposed))
    }
    gains = (brought["proposed"] - brought["current"]).sum(axis=(1, 2))
    return Allocation(
        current=response.plan,
        proposed=proposed,
        config=config,
        multiples=multiples,
        gains=gains,
        gain=float(gains.mean()),
        interval=_interval(gains, config.interval_level),
        share_better=float((gains > 0).mean()),
        worst_gain=worst_mean(gains, config.risk_share),
        table=_table(response, proposed, brought, config.interval_level),
        optimality=optimality,
    )


def _table(
    response: SpendResponse, proposed: SpendPlan, brought: dict[str, np.ndarray], level: float
) -> pd.DataFrame:
    nothing = response.totals(np.zeros_like(proposed.spend))
    current = response.plan
    cells = {
        "current_amount": current.spend.sum(axis=1)[None],
        "proposed_amount": proposed.spend.sum(axis=1)[None],
        "current_kpi": brought["current"] - nothing,
        "proposed_kpi": brought["proposed"] - nothing,
        "change": brought["proposed"] - brought["current"],
        "current_slope": response.slopes_along(current.spend, current.spend),
        "proposed_slope": response.slopes_along(proposed.spend, proposed.spend),
    }
    markets = [(name, [j]) for j, name in enumerate(current.market_ids)]
    channels = [(name, [c]) for c, name in enumerate(current.channel_ids)]
    every = [(None, slice(None))]
    rows = []
    for market, j in markets + every if len(markets) > 1 else every:
        for channel, c in channels + every:
            one = {name: values[:, j][:, :, c].sum(axis=(1, 2)) for name, values in cells.items()}
            rows.append((market, channel, *_row(one, level)))
    columns = ["market_id", "channel_id", "current_amount", "proposed_amount", "current_kpi", "proposed_kpi"]
    columns += ["proposed_kpi_lower", "proposed_kpi_upper", "expected_change", "change_lower", "change_upper"]
    columns += ["current_marginal_roas", "marginal_roas", "marginal_roas_lower", "marginal_roas_upper"]
    return pd.DataFrame(rows, columns=columns)


def _row(one: dict[str, np.ndarray], level: float) -> tuple:
    spent, planned = float(one["current_amount"][0]), float(one["proposed_amount"][0])
    marginal = one["proposed_slope"] / planned if planned > 0 else np.full(2, np.nan)
    return (
        spent,
        planned,
        float(one["current_kpi"].mean()),
        float(one["proposed_kpi"].mean()),
        *_interval(one["proposed_kpi"], level),
        float(one["change"].mean()),
        *_interval(one["change"], level),
        float(one["current_slope"].mean() / spent) if spent > 0 else np.nan,
        float(marginal.mean()),
        *_interval(marginal, level),
    )


def _interval(draws: np.ndarray, level: float) -> tuple[float, float]:
    tail = (1.0 - level) / 2.0
    lower, upper = np.quantile(draws, [tail, 1.0 - tail])
    return float(lower), float(upper)
