"""Seasonal naive: the consumer's own outcome one year before; where the training rows lack it, its recent mean.

Per row, in this order, and named in Prediction.source:
    model         the outcome of the same consumer one season earlier (12 months, 52 weeks or 364 days)
    recent_mean   mean of the consumer's last `recent_periods` training rows (default one season)
    market_mean, overall_mean   consumers without training rows
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.baselines.base import GroupMeans, Prediction, Rows, as_rows, combine, rows_where
from models.panel import ConsumerPanel

SEASON = {"month": 12, "week": 52, "day": 364}  # in periods; whole weeks keep the weekday
MIN_PAIRS = 30  # seasonal differences needed to judge their spread


@dataclass(frozen=True, slots=True)
class SeasonalNaive:
    """recent_periods: training rows of a consumer in its recent mean; None is one season."""

    recent_periods: int | None = None

    def __post_init__(self) -> None:
        if self.recent_periods is not None and self.recent_periods < 1:
            raise ValueError(f"recent_periods is {self.recent_periods}; it must be 1 or more.")

    def fit(self, train: ConsumerPanel | Rows) -> FittedSeasonalNaive:
        """Remember the training outcomes; raises PanelError without training rows."""
        rows = as_rows(train)
        frame = pd.DataFrame(
            {"consumer": rows.consumer_ids, "period": rows.period_starts, "outcome": rows.outcome}
        ).sort_values(["consumer", "period"], kind="stable")
        outcomes = frame.set_index(["consumer", "period"])["outcome"]
        recent = self.recent_periods or SEASON[rows.period]
        last = frame.groupby("consumer").tail(recent).groupby("consumer")["outcome"].agg(["mean", "size"])

        groups = frame.groupby("consumer")["outcome"]
        degrees = int((groups.size() - 1).sum())
        squares = float(((frame["outcome"] - groups.transform("mean")) ** 2).sum())
        within = np.sqrt(squares / degrees) if degrees else float(np.std(rows.outcome))
        earlier = _outcomes_at(outcomes, rows.consumer_ids, season_before(rows.period_starts, rows.period))
        differences = (rows.outcome - earlier)[np.isfinite(earlier)]
        seasonal = (
            np.sqrt(np.mean(differences**2)) if len(differences) >= MIN_PAIRS else np.sqrt(2.0) * within
        )
        return FittedSeasonalNaive(outcomes, last, float(within), float(seasonal), GroupMeans.learn(rows))


@dataclass(frozen=True, slots=True, eq=False)
class FittedSeasonalNaive:
    """outcomes by (consumer, period); recent: mean and size by consumer; within_sd, seasonal_sd: of one outcome about
    its consumer's mean, of a difference over one season (sqrt(2) within_sd where training holds too few pairs)."""

    outcomes: pd.Series
    recent: pd.DataFrame
    within_sd: float
    seasonal_sd: float
    means: GroupMeans

    def predict(self, rows: Rows) -> Prediction:
        """Normal about the first of the sources that the row has."""
        before = _outcomes_at(
            self.outcomes, rows.consumer_ids, season_before(rows.period_starts, rows.period)
        )
        seasonal = np.isfinite(before)
        position = self.recent.index.get_indexer(pd.Index(rows.consumer_ids))
        known = ~seasonal & (position >= 0)
        parts = []
        if seasonal.any():
            sd = np.full(int(seasonal.sum()), self.seasonal_sd)
            parts.append((seasonal, Prediction(before[seasonal], sd)))
        if known.any():
            recent = self.recent.iloc[position[known]]
            sd = self.within_sd * np.sqrt(1.0 + 1.0 / recent["size"].to_numpy())
            source = np.full(len(sd), "recent_mean", dtype=object)
            parts.append((known, Prediction(recent["mean"].to_numpy(), sd, source=source)))
        left = ~seasonal & ~known
        if left.any():
            parts.append((left, self.means.predict(rows_where(rows, left))))
        return combine(len(rows), parts)


def season_before(period_starts: np.ndarray, period: str) -> np.ndarray:
    """Start of the same period one season earlier, (R,) datetime64[D]."""
    if period == "month":
        return (period_starts.astype("datetime64[M]") - SEASON["month"]).astype("datetime64[D]")
    return period_starts.astype("datetime64[D]") - SEASON[period] * (7 if period == "week" else 1)


def _outcomes_at(outcomes: pd.Series, consumers: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Training outcomes of (consumer, period) pairs, NaN where there is none."""
    wanted = pd.MultiIndex.from_arrays([consumers, pd.DatetimeIndex(periods.astype("datetime64[s]"))])
    position = outcomes.index.get_indexer(wanted)
    return np.append(outcomes.to_numpy(dtype=float), np.nan)[position]
