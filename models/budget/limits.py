"""The limits of a decision as a solver wants them: equalities first, each of order one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.budget.objective import Objective


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """row @ m = constant, or >= it where not is_equal; row None: the return on spend stays above its target."""

    is_equal: bool
    row: np.ndarray | None
    constant: float

    def constraint(self, objective: Objective) -> dict:
        """For scipy.optimize.minimize."""
        kind = "eq" if self.is_equal else "ineq"
        if self.row is None:
            return {
                "type": kind,
                "fun": lambda m: objective.surplus(m)[0] / objective.scale,
                "jac": lambda m: objective.surplus(m)[1] / objective.scale,
            }
        return {"type": kind, "fun": lambda m: self.row @ m - self.constant, "jac": lambda m: self.row}

    def left(self, objective: Objective, multiples: np.ndarray) -> float:
        """What the constraint's function is there."""
        if self.row is None:
            return objective.surplus(multiples)[0] / objective.scale
        return float(self.row @ multiples) - self.constant


def limits_of(objective: Objective) -> list[Limit]:
    """Linear ones in shares of the current total, the return in shares of the objective's scale."""
    decisions, total = objective.decisions, float(objective.decisions.amounts.sum())
    equal, others = [], []
    for row, least, most in zip(decisions.rows / total, decisions.least, decisions.most, strict=True):
        if least == most:
            equal.append(Limit(True, row, most / total))
            continue
        if np.isfinite(most):
            others.append(Limit(False, -row, -most / total))
        if np.isfinite(least):
            others.append(Limit(False, row, least / total))
    if objective.config.target_roas is not None:
        others.append(Limit(False, None, 0.0))
    return equal + others
