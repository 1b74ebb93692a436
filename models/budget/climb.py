"""One search from one start: SLSQP for few decisions, an augmented Lagrangian for many.

SLSQP solves a dense quadratic program of all decisions at every step, which beyond a few hundred takes minutes. The
augmented Lagrangian (Nocedal and Wright 2006, algorithm 17.4) has a handful of limits and leaves bounds to L-BFGS-B.
Both return x, fun and the limits' multipliers, signed so that grad fun = sum multipliers grad limit inside the bounds.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from models.budget.limits import Limit
from models.budget.objective import Objective

FEW = 150  # decisions that SLSQP takes
ITERATIONS, TOLERANCE = 300, 1e-12
OUTER, INNER, MISSED = (
    20,
    300,
    1e-8,
)  # rounds of multipliers, steps in each, and by how much a limit may be missed
PENALTY, HARDER = 10.0, 5.0  # first one, and its factor where a limit is not met four times as well as before


def climb(objective: Objective, limits: list[Limit], start: np.ndarray) -> optimize.OptimizeResult:
    """In units of the objective's scale, from a start (V,) within bounds."""
    found = (_slsqp if len(start) <= FEW else _augmented)(objective, limits, start)
    found.x = np.clip(found.x, objective.decisions.lower, objective.decisions.upper)
    return found


def _loss(objective: Objective, multiples: np.ndarray) -> tuple[float, np.ndarray]:
    value, gradient = objective.value(multiples)
    return -value / objective.scale, -gradient / objective.scale


def _slsqp(objective: Objective, limits: list[Limit], start: np.ndarray) -> optimize.OptimizeResult:
    return optimize.minimize(
        lambda m: _loss(objective, m),
        start,
        jac=True,
        method="SLSQP",
        bounds=_bounds(objective),
        constraints=[limit.constraint(objective) for limit in limits],
        options={"maxiter": ITERATIONS, "ftol": TOLERANCE},
    )


def _augmented(objective: Objective, limits: list[Limit], start: np.ndarray) -> optimize.OptimizeResult:
    constraints = [limit.constraint(objective) for limit in limits]
    is_equal = np.array([limit.is_equal for limit in limits], dtype=bool)
    prices, penalty, missed, x = np.zeros(len(limits)), PENALTY, np.inf, start

    def augmented(m: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = _loss(objective, m)
        for one, price, equal in zip(constraints, prices, is_equal, strict=True):
            left = one["fun"](m)
            pull = price - penalty * left if equal else max(price - penalty * left, 0.0)
            loss += (pull**2 - price**2) / (2.0 * penalty)
            gradient = gradient - pull * one["jac"](m)
        return loss, gradient

    for _ in range(OUTER):
        x = optimize.minimize(
            augmented,
            x,
            jac=True,
            method="L-BFGS-B",
            bounds=_bounds(objective),
            options={"maxiter": INNER, "maxcor": 20, "ftol": 1e-15, "gtol": 1e-9},
        ).x
        left = np.array([one["fun"](x) for one in constraints])
        moved = prices - penalty * left
        moved[~is_equal] = np.maximum(moved[~is_equal], 0.0)
        before, missed = missed, float(np.abs(moved - prices).max(initial=0.0) / penalty)
        prices = moved
        if missed < MISSED:
            break
        if missed > before / 4.0:
            penalty *= HARDER
    return optimize.OptimizeResult(
        x=x, fun=_loss(objective, x)[0], multipliers=prices, message=f"limits are missed by {missed:.1e}"
    )


def _bounds(objective: Objective) -> np.ndarray:
    return np.stack([objective.decisions.lower, objective.decisions.upper], axis=1)
