"""Shocks common to all markets: a stationary autoregression over periods, its precision, and derivatives.

w_1 ~ N(0, sd^2),   w_t = memory w_{t-1} + e_t,   sd(w_t) = sd throughout;   memory 0: independent
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class ShockPrior:
    """periods : T; sd, as a share of KPI; memory in [0, 1)."""

    periods: int
    sd: float
    memory: float

    @property
    def log_determinant(self) -> float:
        """Of the covariance of w."""
        return 2.0 * self.periods * np.log(self.sd) + (self.periods - 1) * np.log1p(-(self.memory**2))

    def add_precision(self, target: np.ndarray) -> None:
        """Add the tridiagonal inverse covariance to the leading (T, T) of `target`."""
        t, rho = self.periods, self.memory
        scale = 1.0 / (self.sd**2 * (1.0 - rho**2))
        index = np.arange(t)
        target[index, index] += scale * (1.0 + rho**2)
        target[0, 0] -= scale * rho**2
        target[t - 1, t - 1] -= scale * rho**2
        target[index[1:], index[:-1]] -= scale * rho
        target[index[:-1], index[1:]] -= scale * rho

    def slopes(self, moments: ShockMoments) -> tuple[float, float]:
        """Derivatives of E[log prior density of w] by log sd and by memory."""
        rho, left = self.memory, 1.0 - self.memory**2
        squares = (
            moments.first + (moments.later - 2.0 * rho * moments.lagged + rho**2 * moments.earlier) / left
        )
        inner = moments.later - 2.0 * rho * moments.lagged + rho**2 * moments.earlier
        turned = (-2.0 * moments.lagged + 2.0 * rho * moments.earlier) / left + 2.0 * rho * inner / left**2
        by_memory = (self.periods - 1) * rho / left - 0.5 * turned / self.sd**2
        return float(squares / self.sd**2 - self.periods), float(by_memory)


@dataclass(frozen=True, slots=True)
class ShockMoments:
    """Posterior second moments: first E[w_1^2]; later, earlier: sums of E[w_t^2] without the first, without the last;
    lagged: sum of E[w_t w_{t-1}]."""

    first: float
    later: float
    earlier: float
    lagged: float

    @classmethod
    def of(cls, mean: np.ndarray, covariance: np.ndarray, periods: int) -> ShockMoments:
        """From the posterior's mean and covariance, w in front."""
        w = mean[:periods]
        squares = w**2 + np.diag(covariance)[:periods]
        beside = w[1:] * w[:-1] + np.diag(covariance[:periods, :periods], 1)
        return cls(
            float(squares[0]), float(squares[1:].sum()), float(squares[:-1].sum()), float(beside.sum())
        )
