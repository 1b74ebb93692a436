"""Seasonal naive forecasts of shops: the mean of the same place in the season over the last seasons.

Intervals come from the errors that the same rule made inside the history, by periods ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.errors import PanelError
from models.shops.forecast import LEVELS, Forecast, check_future
from models.shops.panel import ShopPanel


@dataclass(frozen=True, slots=True)
class ShopSeasonalNaive:
    """season: its length in periods. seasons: how many of the last ones are averaged. error_origins: for intervals."""

    season: int = 7
    seasons: int = 1
    error_origins: int = 60

    def __post_init__(self) -> None:
        for name in ("season", "seasons", "error_origins"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; it counts periods or seasons, so give 1 or more."
                )

    def fit(self, panel: ShopPanel) -> ShopSeasonalNaive:
        """Nothing is learned before the forecast: the rule reads the history alone."""
        return self

    def forecast(
        self, history: ShopPanel, periods: int, context_future: np.ndarray, planned_future: np.ndarray
    ) -> Forecast:
        """The outcome alone. Raises PanelError where the history holds too few seasons."""
        check_future(history, periods, context_future, planned_future)
        series = history.values[..., history.outcome_index]
        window = self.season * self.seasons
        origins = np.arange(window, series.shape[1] - periods + 1)[-self.error_origins :]
        if len(origins) < 2:
            raise PanelError(
                f"the history has {series.shape[1]} periods; {self.seasons} seasons of {self.season} and errors over "
                f"{periods} periods need {window + periods + 1}. Give a longer history or average fewer seasons."
            )
        errors = np.stack([series[:, o : o + periods] - self._rule(series[:, :o], periods) for o in origins])
        mean = self._rule(series, periods)
        quantiles = mean[..., None] + np.moveaxis(np.quantile(errors, LEVELS, axis=0), 0, -1)
        return Forecast(
            mean[..., None], quantiles[:, :, None], LEVELS, (history.outcome_id,), "seasonal_naive"
        )

    def _rule(self, series: np.ndarray, periods: int) -> np.ndarray:
        """(N, T) -> (N, M)."""
        recent = (
            series[:, -self.season * self.seasons :].reshape(len(series), self.seasons, self.season).mean(1)
        )
        return recent[:, np.arange(periods) % self.season]
