"""The search for the best decision, from several starts, and how far from the optimum it can be at most.

Exact gradients throughout (climb.py). Where curves are S-shaped the problem is not concave, so that a stationary point
need not be the best. Two things are said about every result:

first_order_gain : max over all allowed decisions y of grad U(m) @ (y - m), the most that a move along straight lines
    still promises (Frank and Wolfe 1956). Near 0: stationary. Where every curve is concave, a bound on what is missed.
gap : where decisions do not act on each other (no `period` among them), a bound by duality (duality.py), whatever the
    curves.

For the worst share of draws both are of the smoothed function; its last smoothing is a two-hundredth of the gain's sd.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize

from models.budget.climb import climb
from models.budget.decisions import linear_program
from models.budget.duality import SeparableBound
from models.budget.limits import Limit, limits_of
from models.budget.objective import Objective

SAME = 1e-4  # of the objective's scale: two searches that end this close found the same
SMOOTHING = (0.05, 0.005)  # of the worst share, in sds of the gain over draws
SLACK = 1e-6  # by how much of the total, or of the scale, a limit may be missed


@dataclass(frozen=True, slots=True)
class Optimality:
    """In the KPI's unit, over the searched draws.

    utility : reached; first_order_gain : see module; gap : what may be missed at most, None where nothing bounds it
    searches_count, agreeing_count : searches made, and those that ended as well as the best
    """

    utility: float
    first_order_gain: float
    gap: float | None
    searches_count: int
    agreeing_count: int

    def is_certain(self, scale: float) -> bool:
        """Whether less than a ten-thousandth of the scale can be missed."""
        return self.gap is not None and self.gap < SAME * scale


def search(objective: Objective) -> tuple[np.ndarray, Optimality]:
    """The best decision (V,) found: from the current plan, from the bound's own decision, from random ones. Stops as
    soon as the gap says that nothing is missed.

    ValueError where no search ends within the limits.
    """
    decisions, config, limits = objective.decisions, objective.config, limits_of(objective)
    first = climb(objective, limits, np.clip(1.0, decisions.lower, decisions.upper))
    if config.risk_share < 1.0:  # from the mean's optimum through a smoother function to a sharper one
        for share in SMOOTHING:
            objective.smooth_by(first.x, share)
            first = climb(objective, limits, first.x)
    found, rng = [first], np.random.default_rng(config.seed)
    best = _judged(objective, limits, found)
    while best is None or not best[1].is_certain(objective.scale):
        if len(found) > config.starts:
            break
        start = rng.uniform(decisions.lower, decisions.upper)
        if len(found) == 1 and best is not None and best[2] is not None:
            start = best[2]
        found.append(climb(objective, limits, start))
        best = _judged(objective, limits, found)
    if best is None:
        raise ValueError(_no_end(objective, found))
    return best[0], best[1]


def _judged(
    objective: Objective, limits: list[Limit], found: list[optimize.OptimizeResult]
) -> tuple[np.ndarray, Optimality, np.ndarray | None] | None:
    """The best of the searches, what can be said about it, and the decision that attains the bound; None: no one ended
    within the limits."""
    ended = [one for one in found if _is_allowed(objective, limits, one.x)]
    if not ended:
        return None
    reached = [objective.exact(one.x) for one in ended]
    best, value = ended[int(np.argmax(reached))], max(reached)
    agreeing = sum(value - one < SAME * objective.scale for one in reached)
    at = best.x
    if value < 0.0 and _is_allowed(objective, limits, np.ones_like(at)):
        at, value = np.ones_like(at), 0.0  # smoothing moved, and nothing is better than the current plan
    gain, gap, attained = _first_order_gain(objective, at, objective.value(at)[1]), None, None
    if objective.response.is_concave:
        gap = gain
    elif "period" not in objective.config.by:
        prices = objective.scale * np.atleast_1d(best.multipliers)
        gap, attained = SeparableBound(objective, limits, at).least_gap(prices)
    return at, Optimality(value, gain, gap, len(found), agreeing), attained


def _is_allowed(objective: Objective, limits: list[Limit], multiples: np.ndarray) -> bool:
    if not np.isfinite(multiples).all():
        return False
    left = [(limit, limit.left(objective, multiples)) for limit in limits]
    return all(abs(value) < SLACK if limit.is_equal else value > -SLACK for limit, value in left)


def _first_order_gain(objective: Objective, at: np.ndarray, gradient: np.ndarray) -> float:
    decisions = objective.decisions
    if objective.config.target_roas is not None:
        # if concave, the curved limit allows nothing that its tangent does not
        left, slope = objective.surplus(at)
        decisions = replace(
            decisions,
            rows=np.vstack([decisions.rows, slope]),
            least=np.append(decisions.least, float(slope @ at) - left),
            most=np.append(decisions.most, np.inf),
        )
    best = linear_program(decisions, gradient)
    return max(float(gradient @ (best.x - at)), 0.0) if best.status == 0 else np.inf


def _no_end(objective: Objective, found: list[optimize.OptimizeResult]) -> str:
    target, decisions = objective.config.target_roas, objective.decisions
    if target is None:
        return f"no search ended within the limits ({found[0].message}). Widen bounds or groups, or decide for less."
    returns = [
        target + objective.surplus(one.x)[0] / float(decisions.amounts @ one.x)
        for one in found
        if np.isfinite(one.x).all() and decisions.amounts @ one.x > 0
    ]
    reached = f"{max(returns):.3g} was the best seen" if returns else "nothing can be spent"
    return (
        f"no allocation within the bounds returns {target:g} per money spent; {reached}. Lower target_roas, or allow "
        "less spend by lower bounds."
    )
