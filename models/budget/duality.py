"""An upper bound on what any allowed decision can reach, concave or not, where decisions do not act on each other.

For any prices p of the limits c(m) = 0 or c(m) >= 0 (p >= 0 there) and every allowed m

    U(m) <= U(x) + sum_v max over m_v of [u_v(m_v) - u_v(x_v) + p (c_v(m_v) - c_v(x_v))] + p c(x)

since U and c are sums over decisions. Every term is one search in one dimension, done on a grid of cubic Hermite
splines through exact values and slopes. The prices that make the bound least are searched from the solver's own.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy.interpolate import CubicHermiteSpline

from models.budget.limits import Limit
from models.budget.objective import Objective

GRID, FINE = 17, 32  # points a decision where the model is asked, and spline points to each


class SeparableBound:
    """Of an objective whose decisions act alone, around a decision `at` (V,)."""

    def __init__(self, objective: Objective, limits: list[Limit], at: np.ndarray) -> None:
        self._limits, self._at = limits, at
        self._left = np.array([limit.left(objective, at) for limit in limits])
        weights, _ = objective.weights(at)
        even = np.full(len(weights), 1.0 / len(weights))
        decisions, config = objective.decisions, objective.config
        self.multiples, value = _by_decision(objective, weights, at)
        steps = self.multiples - at[:, None]
        price = config.target_marginal_roas or 0.0
        self._gained = value - value[:, -1:] - price * decisions.amounts[:, None] * steps
        self._eased = np.empty((len(limits), *steps.shape))
        for i, limit in enumerate(limits):
            if limit.row is not None:
                self._eased[i] = limit.row[:, None] * steps
                continue
            kpi = value if np.array_equal(weights, even) else _by_decision(objective, even, at)[1]
            paid = config.target_roas * decisions.amounts[:, None] * steps
            self._eased[i] = (kpi - kpi[:, -1:] - paid) / objective.scale

    def gap(self, prices: np.ndarray) -> tuple[float, np.ndarray]:
        """The bound less U(at), money, and the decision (V,) that attains it; prices in money per unit of a limit."""
        signed = np.array(
            [p if limit.is_equal else abs(p) for p, limit in zip(prices, self._limits, strict=True)]
        )
        lagrangian = self._gained + np.tensordot(signed, self._eased, axes=1)
        best = lagrangian.argmax(axis=1)
        chosen = np.arange(len(best))
        return float(lagrangian[chosen, best].sum() + signed @ self._left), self.multiples[chosen, best]

    def least_gap(self, prices: np.ndarray) -> tuple[float, np.ndarray]:
        """The least one found from these prices on, and its decision."""
        if len(prices):
            step = 0.05 * np.abs(prices) + 1e-9
            simplex = np.vstack([prices, prices + np.diag(step)])
            found = optimize.minimize(
                lambda p: self.gap(p)[0],
                prices,
                method="Nelder-Mead",
                options={"initial_simplex": simplex, "maxiter": 200 * len(prices), "xatol": 1e-9},
            )
            prices = min(found.x, prices, key=lambda p: self.gap(p)[0])
        return self.gap(prices)


def _by_decision(objective: Objective, weights: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiples (V, F + 1), the last one `at`, and KPI (V, F + 1) of every decision alone, under weights of draws."""
    decisions, response = objective.decisions, objective.response
    spread, width = objective.spread(weights), decisions.upper - decisions.lower
    group = decisions.group.max(axis=1)  # the same in every period where anything is spent
    held = group >= 0

    def asked(multiples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kpi, by_spend = response.weighted(decisions.spend(multiples), spread)
        value = np.bincount(group[held], kpi[held], minlength=len(width))
        return value, decisions.by_multiple(by_spend) * width

    nodes = np.linspace(0.0, 1.0, GRID)
    value, slope = (
        np.stack(one, axis=1)
        for one in zip(*(asked(decisions.lower + node * width) for node in nodes), strict=True)
    )
    fine = np.linspace(0.0, 1.0, (GRID - 1) * FINE + 1)
    multiples = decisions.lower[:, None] + fine * width[:, None]
    kpi = CubicHermiteSpline(nodes, value, slope, axis=1)(fine)
    return np.column_stack([multiples, at]), np.column_stack([kpi, asked(at)[0]])
