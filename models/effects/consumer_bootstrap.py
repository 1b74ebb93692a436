"""Intervals by bootstrap over consumers, from sums per consumer.

Every estimator here is a function of column sums over rows (a ratio, a difference of ratios, a slope). Months of
a consumer hang together, so whole consumers are resampled: draw N consumers with replacement, add up *their*
sums, apply the function again. This is the plain (pairs) cluster bootstrap (Cameron, Gelbach and Miller 2008;
Efron and Tibshirani 1993, chapter 8), not a multiplier bootstrap, made fast by touching sums instead
of rows. Nuisance functions (propensity, outcome regressions, weights) are held at their estimates: what estimating
them adds is not in the interval. For AIPW that is of second order; for weighting by an estimated propensity the
interval of the ATE is if anything too wide (Lunceford and Davidian 2004, section 3).

The interval is the percentile one. `bootstrap_clusters` also asks how far periods that all consumers share add to
the error, and stretches the interval about the estimate where they do (`two_way`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from models.effects.two_way import TwoWayError, influence_values, two_way_error

CONSUMERS_MINIMUM = 20  # fewer clusters cannot carry a percentile interval
CELLS_AT_ONCE = 4_000_000  # of the (draws, consumers) counts held in memory


@dataclass(frozen=True, slots=True)
class BootstrapEstimate:
    """An estimate and what resampling consumers says of it; NaN where it cannot be computed.

    standard_error is the standard deviation over draws, times error_ratio: the error with periods in common over that
    without (NaN where that was not asked; 1: they add nothing). The interval is stretched by it and by Student's
    quantile of degrees_of_freedom over the normal one. periods_effective counts the periods that carry the estimate;
    consumers_count is the number that were resampled.
    """

    estimate: float
    standard_error: float
    interval_lower: float
    interval_upper: float
    interval_level: float
    draws_count: int
    consumers_count: int
    error_ratio: float = np.nan
    degrees_of_freedom: float = np.inf
    periods_effective: float = np.nan

    @classmethod
    def from_error(
        cls, estimate: float, error: TwoWayError, *, consumers_count: int, interval_level: float
    ) -> BootstrapEstimate:
        """Without resampling (draws_count 0): Student's interval of a two-way error; NaN under CONSUMERS_MINIMUM."""
        missing = consumers_count < CONSUMERS_MINIMUM
        deviation = np.nan if missing else float(np.sqrt(error.variance))
        reach = float(student.ppf(0.5 + interval_level / 2, error.degrees_of_freedom)) * deviation
        ends = (estimate - reach, estimate + reach)
        periods = (error.error_ratio, error.degrees_of_freedom, error.periods_effective)
        return cls(estimate, deviation, *ends, interval_level, 0, consumers_count, *periods)

    def numbers(self) -> dict[str, float]:
        """The numbers of an effect row."""
        known = self.standard_error > 0
        t_value = self.estimate / self.standard_error if known else np.nan
        return {
            "mean": self.estimate,
            "standard_deviation": self.standard_error,
            "interval_lower": self.interval_lower,
            "interval_upper": self.interval_upper,
            "probability_positive": float(student.cdf(t_value, self.degrees_of_freedom)),
            "error_ratio": self.error_ratio,
        }


def consumer_sums(values: np.ndarray, consumer_index: np.ndarray) -> np.ndarray:
    """Sums of (R, S) row values over each consumer that has a row: (N, S), consumers in ascending order."""
    position = np.unique(consumer_index, return_inverse=True)[1]
    return np.column_stack([np.bincount(position, column) for column in values.T])


def bootstrap_consumers(
    sums: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    *,
    draws_count: int = 1_000,
    interval_level: float = 0.95,
) -> BootstrapEstimate:
    """Estimate `statistic` of the totals, with its percentile interval over resampled consumers.

    Parameters
    ----------
    sums : (N, S) per consumer
    statistic : totals (B, S) -> (B,); NaN where undefined (a draw without a treated row). Such draws are left
        out; where they are more than one in twenty the interval is NaN

    Raises
    ------
    ValueError : fewer than 2 draws, or a level outside (0, 1).
    """
    if draws_count < 2 or not 0 < interval_level < 1:
        raise ValueError(
            f"draws_count is {draws_count} and interval_level {interval_level}; give at least 2 draws and a level "
            "between 0 and 1."
        )
    consumers = len(sums)
    estimate = float(statistic(sums.sum(axis=0)[None])[0])
    missing = (np.nan, np.nan, np.nan, interval_level, draws_count, consumers)
    if consumers < CONSUMERS_MINIMUM:
        return BootstrapEstimate(estimate, *missing)
    at_once = max(CELLS_AT_ONCE // consumers, 1)
    draws = []
    for start in range(0, draws_count, at_once):
        count = min(at_once, draws_count - start)
        chosen = rng.integers(consumers, size=(count, consumers)) + consumers * np.arange(count)[:, None]
        times = np.bincount(chosen.ravel(), minlength=count * consumers).reshape(count, consumers)
        draws.append(statistic(times @ sums))
    values = np.concatenate(draws)
    values = values[np.isfinite(values)]
    if len(values) < 0.95 * draws_count:
        return BootstrapEstimate(estimate, *missing)
    lower, upper = np.quantile(values, [(1 - interval_level) / 2, (1 + interval_level) / 2])
    return BootstrapEstimate(estimate, float(values.std(ddof=1)), float(lower), float(upper), *missing[3:])


def bootstrap_clusters(
    terms: np.ndarray,
    consumer_index: np.ndarray,
    period_index: np.ndarray | None,
    statistic: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    *,
    draws_count: int = 1_000,
    interval_level: float = 0.95,
) -> BootstrapEstimate:
    """`bootstrap_consumers` of (R, S) row terms, stretched to the two-way error of consumers and periods.

    Without period_index nothing is stretched.
    """
    sums = consumer_sums(terms, consumer_index)
    found = bootstrap_consumers(sums, statistic, rng, draws_count=draws_count, interval_level=interval_level)
    if period_index is None or not np.isfinite(found.standard_error):
        return found
    error = two_way_error(influence_values(terms, statistic), consumer_index, period_index)
    level = 0.5 + interval_level / 2
    by = error.error_ratio * float(student.ppf(level, error.degrees_of_freedom) / student.ppf(level, np.inf))
    return replace(
        found,
        standard_error=found.standard_error * error.error_ratio,
        interval_lower=found.estimate + by * (found.interval_lower - found.estimate),
        interval_upper=found.estimate + by * (found.interval_upper - found.estimate),
        error_ratio=error.error_ratio,
        degrees_of_freedom=error.degrees_of_freedom,
        periods_effective=error.periods_effective,
    )


def ratio_difference(totals: np.ndarray) -> np.ndarray:
    """(B, 4) totals of two numerators and denominators -> a / b - c / d, (B,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return totals[:, 0] / totals[:, 1] - totals[:, 2] / totals[:, 3]
