"""The next experiment: every feasible test by what it would add to the budget decision, less what it costs.

    gain = E over outcomes of the best allocation's gain after the test - that without it      (information_value.py)
    cost = spend more than planned - margin x KPI it brings + fixed_cost
    net  = margin x gain x plans_count - cost where it costs anything

What a test would earn beside is no reason to test, for it can be had without one: a cost below 0 counts as none.

Decisions are allocations of the plan within the budget's own limits. They come from a pool: the best one under the
posterior, and the best ones under the posterior as it would be after telling outcomes of the tests. A decision that the
pool lacks is not counted, so that values are understated, little where the optimum is flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd

from models.budget.config import BudgetConfig
from models.budget.decisions import decisions_of
from models.budget.information_value import information_value, perfect_information_value, reweighted
from models.budget.objective import Objective
from models.budget.power import detectable_lift, power
from models.budget.search import search
from models.budget.spend_response import SpendResponse

TELLING = (0.05, 0.25, 0.75, 0.95)  # quantiles of a test's outcome for which the pool holds the best decision
SAME = 0.01  # decisions closer than this in every multiple are one


class Experiment(Protocol):
    """One test that could be run; draws are the response's. Ours is models/response/geo_tests.GeoForecast.

    name; channel_ids, markets_count, periods_count : what it treats; spend_change : money more than planned, below 0
    for less; lifts (K,) : what it measures; brought (K,) : KPI more in all; standard_error : of the measurement
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def channel_ids(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def markets_count(self) -> int: ...  # noqa: D102
    @property
    def periods_count(self) -> int: ...  # noqa: D102
    @property
    def spend_change(self) -> float: ...  # noqa: D102
    @property
    def lifts(self) -> np.ndarray: ...  # noqa: D102
    @property
    def brought(self) -> np.ndarray: ...  # noqa: D102
    @property
    def standard_error(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """margin : what one of KPI is worth, money; 1 counts GMV as it is
    plans_count : plans like this one that the decision will serve; fixed_cost : of running a test, money
    level : of significance; wanted_power : of the least lift that is called detectable
    """

    margin: float = 1.0
    plans_count: float = 1.0
    fixed_cost: float = 0.0
    level: float = 0.1
    wanted_power: float = 0.8

    def __post_init__(self) -> None:
        if not (self.margin > 0 and self.plans_count > 0 and self.fixed_cost >= 0):
            raise ValueError(
                f"margin {self.margin}, plans_count {self.plans_count}, fixed_cost {self.fixed_cost}: the first two "
                "must be above 0, the last 0 or more."
            )


@dataclass(frozen=True, slots=True, eq=False)
class NextExperiments:
    """table : a row a test, best net value first: name, channel_ids, markets_count, periods_count, spend_change,
    expected_lift, lift_lower, lift_upper, standard_error, power (chance of a finding, over draws), detectable_lift,
    detectable_roas (lift per money changed), information_gain (KPI), information_gain_same_draws, effective_draws,
    standard_error_used, cost (money), net_value (money)

    perfect_gain : KPI that knowing everything would add, within the pool; decisions_count : in the pool
    current_gain : KPI that the best allocation gains as things are known
    """

    table: pd.DataFrame
    perfect_gain: float
    current_gain: float
    decisions_count: int


def next_experiments(
    response: SpendResponse,
    experiments: Sequence[Experiment],
    budget: BudgetConfig | None = None,
    config: ExperimentConfig | None = None,
) -> NextExperiments:
    """Tests in the order of net value.

    Raises ValueError without tests, for draws that are not the response's, for a budget that is not judged by expected
    gain (risk_share below 1, or a target_roas, which lets spend differ), and as `allocate` does.
    """
    budget, config = budget or BudgetConfig(), config or ExperimentConfig()
    if not experiments:
        raise ValueError("there is no test to compare; give at least one.")
    if budget.risk_share < 1.0 or budget.target_roas is not None:
        raise ValueError(
            "information is valued by the expected gain of allocations that can be compared; give a budget with "
            "risk_share 1 and a total or target_marginal_roas."
        )
    for one in experiments:
        if one.lifts.shape != (len(response),) or one.brought.shape != (len(response),):
            raise ValueError(
                f"test {one.name!r} has {len(one.lifts)} draws, the response {len(response)}; make both of one fit."
            )
    gains = _pool(response, experiments, budget)
    tail = (1.0 - budget.interval_level) / 2.0
    rows = []
    for one in experiments:
        found = information_value(gains, one.lifts, one.standard_error)
        cost = one.spend_change - config.margin * float(one.brought.mean()) + config.fixed_cost
        detectable = detectable_lift(one.standard_error, config.wanted_power, config.level)
        rows.append(
            {
                "name": one.name,
                "channel_ids": one.channel_ids,
                "markets_count": one.markets_count,
                "periods_count": one.periods_count,
                "spend_change": one.spend_change,
                "expected_lift": float(one.lifts.mean()),
                "lift_lower": float(np.quantile(one.lifts, tail)),
                "lift_upper": float(np.quantile(one.lifts, 1.0 - tail)),
                "standard_error": one.standard_error,
                "power": float(power(one.lifts, one.standard_error, config.level).mean()),
                "detectable_lift": detectable,
                "detectable_roas": detectable / abs(one.spend_change),
                "information_gain": found.gain,
                "information_gain_same_draws": found.gain_same_draws,
                "effective_draws": found.effective_draws,
                "standard_error_used": found.standard_error,
                "cost": cost,
                "net_value": config.margin * config.plans_count * found.gain - max(cost, 0.0),
            }
        )
    table = pd.DataFrame(rows).sort_values("net_value", ascending=False, kind="stable").reset_index(drop=True)
    return NextExperiments(
        table, perfect_information_value(gains), float(gains.mean(axis=0).max()), gains.shape[1]
    )


def _pool(response: SpendResponse, experiments: Sequence[Experiment], budget: BudgetConfig) -> np.ndarray:
    """Gains (K, D) over the current plan of the pool's decisions, that under the posterior first."""
    decisions = decisions_of(response.plan, budget)
    price = budget.target_marginal_roas or 0.0
    found = [search(Objective(response, decisions, budget))[0]]
    quick = replace(budget, starts=min(budget.starts, 1))
    for one in _most_telling(experiments):
        drawn = one.lifts + one.standard_error * np.random.default_rng(budget.seed).standard_normal(
            len(one.lifts)
        )
        for outcome in np.quantile(drawn, TELLING):
            weights = reweighted(one.lifts, one.standard_error, float(outcome))
            best = search(Objective(response, decisions, quick, _resampled(weights, budget.search_draws)))[0]
            if all(np.abs(best - other).max() > SAME for other in found):
                found.append(best)
    current = response.totals(response.plan.spend).sum(axis=(1, 2))
    gains = []
    for multiples in found:
        kpi = response.totals(decisions.spend(multiples)).sum(axis=(1, 2))
        gains.append(kpi - current - price * float(decisions.amounts @ (multiples - 1.0)))
    return np.stack(gains, axis=1)


def _resampled(weights: np.ndarray, count: int) -> np.ndarray:
    """(count,) positions of draws that stand for the weighted ones: quantiles of their cumulated weights."""
    positions = np.searchsorted(np.cumsum(weights), (np.arange(count) + 0.5) / count)
    return np.minimum(positions, len(weights) - 1)


def _most_telling(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Of each set of channels the test that is most precise for how uncertain its lift is."""
    best: dict[tuple[str, ...], Experiment] = {}
    for one in experiments:
        held = best.get(one.channel_ids)
        if held is None or _precision(one) > _precision(held):
            best[one.channel_ids] = one
    return list(best.values())


def _precision(one: Experiment) -> float:
    return float(one.lifts.std()) / one.standard_error
