"""What is decided: multiples of the current spend of groups of cells, and the linear limits they must keep.

A decision m (V,) multiplies the current spend of V groups of cells (by channel, market, period, as configured). Cells
that cost nothing in the current plan have no pattern to follow and stay at 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from models.budget.config import DIMENSIONS, BudgetConfig
from models.plans.spend_plan import SpendPlan, positions

#: Axis of each dimension in spend (J, H, C).
AXES = {"market": 0, "period": 1, "channel": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """group (J, H, C): position of a cell's decision, -1 for none; amounts (V,): current money of each, above 0

    lower, upper (V,): multiples; rows (N, V), least, most (N,): limits on rows @ m, the total first where it is fixed
    (least = most)
    """

    plan: SpendPlan
    group: np.ndarray
    amounts: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    rows: np.ndarray
    least: np.ndarray
    most: np.ndarray

    def spend(self, multiples: np.ndarray) -> np.ndarray:
        """(J, H, C) money."""
        return self.plan.spend * np.append(multiples, 1.0)[self.group]

    def by_multiple(self, by_spend: np.ndarray) -> np.ndarray:
        """Derivatives by the decisions (V,) from those by spend (J, H, C)."""
        return self.gathered(by_spend * self.plan.spend)

    def gathered(self, cells: np.ndarray) -> np.ndarray:
        """Sums (V,) of cells (J, H, C) by decision."""
        held = self.group >= 0
        return np.bincount(self.group[held], cells[held], minlength=len(self.amounts))


def decisions_of(plan: SpendPlan, config: BudgetConfig) -> Decisions:
    """Raises PanelError for channels or markets that the plan lacks, ValueError where no allocation keeps the limits,
    with the totals that can be had."""
    if not plan.total > 0:
        raise ValueError(
            "the current plan spends nothing, so that there is no pattern to scale; plan some spend."
        )
    group, amounts = _groups(plan, config.by)
    channel = np.full(len(amounts), -1)
    held = group >= 0
    channel[group[held]] = np.broadcast_to(np.arange(len(plan.channel_ids)), group.shape)[held]
    bounds = np.tile(np.array(config.bounds, dtype=float), (len(amounts), 1))
    if config.channel_bounds and "channel" not in config.by:
        raise ValueError(f"channel_bounds are given and `by` is {config.by}; decide by channel to use them.")
    for name, one in config.channel_bounds.items():
        bounds[channel == positions((name,), plan.channel_ids, "channel")[0]] = one
    rows, least, most = [], [], []
    if config.target_roas is None and config.target_marginal_roas is None:
        total = plan.total if config.total is None else config.total
        rows, least, most = [amounts], [total], [total]
    blank = Decisions(plan, group, amounts, *bounds.T, np.empty((0, len(amounts))), np.empty(0), np.empty(0))
    for one in config.groups:
        cells = np.zeros(plan.spend.shape, dtype=bool)
        j = positions(one.market_ids or plan.market_ids, plan.market_ids, "market")
        c = positions(one.channel_ids or plan.channel_ids, plan.channel_ids, "channel")
        cells[np.ix_(j, np.arange(cells.shape[1]), c)] = True
        rows.append(blank.gathered(np.where(cells, plan.spend, 0.0)))
        least.append(-np.inf if one.least is None else one.least)
        most.append(np.inf if one.most is None else one.most)
    found = Decisions(
        plan,
        group,
        amounts,
        *bounds.T,
        np.array(rows).reshape(len(rows), len(amounts)),
        np.array(least),
        np.array(most),
    )
    _require_feasible(found, config)
    return found


def linear_program(decisions: Decisions, gain: np.ndarray, drop: int = 0) -> optimize.OptimizeResult:
    """max gain @ m within the limits; drop: leave so many of the first limits out."""
    rows, least, most = decisions.rows[drop:], decisions.least[drop:], decisions.most[drop:]
    fixed, below, above = (
        least == most,
        (least < most) & np.isfinite(most),
        (least < most) & np.isfinite(least),
    )
    return optimize.linprog(
        -gain,
        A_eq=rows[fixed] if fixed.any() else None,
        b_eq=most[fixed] if fixed.any() else None,
        A_ub=np.concatenate([rows[below], -rows[above]]) if (below | above).any() else None,
        b_ub=np.concatenate([most[below], -least[above]]) if (below | above).any() else None,
        bounds=np.stack([decisions.lower, decisions.upper], axis=1),
    )


def _groups(plan: SpendPlan, by: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    sizes = [plan.spend.shape[AXES[name]] for name in DIMENSIONS if name in by]
    index = np.indices(plan.spend.shape)
    label = np.ravel_multi_index([index[AXES[name]] for name in DIMENSIONS if name in by], sizes)
    amounts = np.bincount(label.ravel(), plan.spend.ravel(), minlength=int(np.prod(sizes)))
    position = np.where(amounts > 0, np.cumsum(amounts > 0) - 1, -1)
    return position[label], amounts[amounts > 0]


def _require_feasible(decisions: Decisions, config: BudgetConfig) -> None:
    if linear_program(decisions, np.zeros_like(decisions.amounts)).status == 0:
        return
    has_total = config.target_roas is None and config.target_marginal_roas is None
    ends = [linear_program(decisions, sign * decisions.amounts, drop=int(has_total)) for sign in (-1.0, 1.0)]
    if any(end.status for end in ends):
        raise ValueError("no allocation keeps the bounds and the groups' limits together; widen one of them.")
    lowest, highest = (float(decisions.amounts @ end.x) for end in ends)
    raise ValueError(
        f"a total of {decisions.most[0]:,.0f} cannot be spent: bounds and groups allow {lowest:,.0f} to "
        f"{highest:,.0f}. Change the total, or widen them."
    )
