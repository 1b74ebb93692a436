"""Errors that consumers and periods share: two-way clustering of influence values.

Resampling consumers keeps every period as it was, so what happened to everybody in a period (a wave of mailings that
met a good week) is not in its intervals. With psi_r the influence of row r on the estimate, to first order its change
when the row gets a little heavier,

    V = V_consumer + V_period - V_row,   V_group = G / (G - 1) sum_g (sum of psi_r in g)^2

(Cameron, Gelbach and Miller 2011; as an infinitesimal jackknife, Efron 1982.) Few periods carry little evidence about
how much periods vary: they are counted by how evenly they share the influence, G = (sum v_t)^2 / sum v_t^2 with v_t the
sum of psi_r^2 over the period (in the spirit of Carter, Schnepel and Steigerwald 2017), and the normal quantile is
replaced by Student's with Satterthwaite's degrees of freedom, V^2 / sum of V_group^2 / (G - 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STEP = 1e-6  # of central differences, as a share of a total
PERIODS_MINIMUM = 2.0  # effective periods below which the share of periods in the error cannot be told


@dataclass(frozen=True, slots=True)
class TwoWayError:
    """Variances of an estimate, money squared; periods_effective is G of the periods; degrees_of_freedom is of the sum.

    variance is the two-way one, or the consumers' where that is larger (its degrees of freedom are infinite then, as
    consumers are many). variance_periods is NaN where fewer than PERIODS_MINIMUM periods carry the estimate.
    """

    variance_consumers: float
    variance_periods: float
    variance: float
    periods_effective: float
    degrees_of_freedom: float

    @property
    def error_ratio(self) -> float:
        """Standard error over that of consumers alone, 1 or more; NaN where the latter is 0."""
        return (
            float(np.sqrt(self.variance / self.variance_consumers)) if self.variance_consumers > 0 else np.nan
        )


def influence_values(terms: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(R,) influence of rows on `statistic` of the column totals of (R, S) terms; it sums to about zero for ratios."""
    totals = terms.sum(axis=0)
    steps = STEP * np.maximum(np.abs(totals), np.abs(terms).sum(axis=0))
    steps = np.where(steps > 0, steps, 1.0)
    shifted = np.concatenate([totals + np.diag(steps), totals - np.diag(steps)])
    values = statistic(shifted)
    gradient = (values[: len(totals)] - values[len(totals) :]) / (2 * steps)
    return terms @ gradient


def two_way_error(
    influence: np.ndarray, consumer_index: np.ndarray, period_index: np.ndarray | None
) -> TwoWayError:
    """Variance of the sum of (R,) influence values, with consumers and periods both as clusters.

    Without period_index, or with fewer than PERIODS_MINIMUM effective ones, that of consumers as clusters.
    """
    consumers = _sums(influence, consumer_index)
    by_consumer = float(len(consumers) / max(len(consumers) - 1, 1) * consumers @ consumers)
    if period_index is None:
        return TwoWayError(by_consumer, np.nan, by_consumer, np.nan, np.inf)
    periods, squares = _sums(influence, period_index), _sums(influence**2, period_index)
    effective = float(squares.sum() ** 2 / (squares**2).sum()) if squares.any() else 0.0
    if effective < PERIODS_MINIMUM:
        return TwoWayError(by_consumer, np.nan, by_consumer, effective, np.inf)
    by_period = float(effective / (effective - 1) * periods @ periods)
    total = by_consumer + by_period - float(influence @ influence)
    if total <= by_consumer:
        return TwoWayError(by_consumer, by_period, by_consumer, effective, np.inf)
    parts = by_consumer**2 / max(len(consumers) - 1, 1) + by_period**2 / (effective - 1)
    return TwoWayError(by_consumer, by_period, total, effective, total**2 / parts)


def _sums(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return np.bincount(np.unique(groups, return_inverse=True)[1], values)
