"""The maximised function of a decision, with its exact gradient, and the return on spend where that is a goal."""

from __future__ import annotations

import numpy as np

from models.budget.config import BudgetConfig
from models.budget.decisions import Decisions
from models.budget.spend_response import SpendResponse
from models.budget.utility import soft_worst_mean, worst_mean


class Objective:
    """U(m): gain over the current plan, of all draws or the worst, less target_marginal_roas times the money.

    draws : positions of those that count, repeated ones as often; None: config.search_draws, evenly spaced
    scale : current KPI of what is decided on, the unit in which searches count; smoothing : money, of the worst share
    """

    def __init__(
        self,
        response: SpendResponse,
        decisions: Decisions,
        config: BudgetConfig,
        draws: np.ndarray | None = None,
    ) -> None:
        self.response, self.decisions, self.config = response, decisions, config
        if draws is None:
            count = min(config.search_draws, len(response))
            draws = np.linspace(0, len(response) - 1, count).round().astype(int)
        self.draws = draws
        self._current = self._by_draw(response.plan.spend)
        none = self._by_draw(np.zeros_like(response.plan.spend))
        self._without = float(none.mean())
        self.scale = max(abs(float(self._current.mean()) - self._without), 1e-12)
        self.smoothing = 0.0
        self._price = config.target_marginal_roas or 0.0

    def smooth_by(self, multiples: np.ndarray, share: float) -> None:
        """Smooth by a share of how far draws disagree about a decision."""
        self.smoothing = share * max(float(self.gains(multiples).std()), 1e-6 * self.scale)

    def exact(self, multiples: np.ndarray) -> float:
        """U(m) without smoothing."""
        return worst_mean(self.gains(multiples), self.config.risk_share) - self._cost(multiples)

    def _cost(self, multiples: np.ndarray) -> float:
        amounts = self.decisions.amounts
        return self._price * (float(amounts @ multiples) - float(amounts.sum()))

    def gains(self, multiples: np.ndarray) -> np.ndarray:
        """(k,) of the searched draws."""
        return self._by_draw(self.decisions.spend(multiples)) - self._current

    def value(self, multiples: np.ndarray) -> tuple[float, np.ndarray]:
        """U and its gradient (V,), money."""
        weights, value = self.weights(multiples)
        kpi, slope = self.response.weighted(self.decisions.spend(multiples), self.spread(weights))
        if value is None:
            value = float(kpi.sum()) - float(self._current.mean())
        by_multiple = self.decisions.by_multiple(slope) - self._price * self.decisions.amounts
        return value - self._cost(multiples), by_multiple

    def weights(self, multiples: np.ndarray) -> tuple[np.ndarray, float | None]:
        """Weights (k,) of the searched draws in the gradient, and the risk-aware value where there is one."""
        if self.config.risk_share >= 1.0 or not self.smoothing:
            return np.full(len(self.draws), 1.0 / len(self.draws)), None
        value, weights = soft_worst_mean(self.gains(multiples), self.config.risk_share, self.smoothing)
        return weights, value

    def spread(self, weights: np.ndarray) -> np.ndarray:
        """Weights (K,) of all draws."""
        return np.bincount(self.draws, weights, minlength=len(self.response))

    def surplus(self, multiples: np.ndarray) -> tuple[float, np.ndarray]:
        """Expected KPI of the plan's spend less target_roas times the spend, and its gradient."""
        target = self.config.target_roas or 0.0
        weights = self.spread(np.full(len(self.draws), 1.0 / len(self.draws)))
        kpi, slope = self.response.weighted(self.decisions.spend(multiples), weights)
        amounts = self.decisions.amounts
        left = float(kpi.sum()) - self._without - target * float(amounts @ multiples)
        return left, self.decisions.by_multiple(slope) - target * amounts

    def _by_draw(self, spend: np.ndarray) -> np.ndarray:
        return self.response.totals(spend, self.draws).sum(axis=(1, 2))
