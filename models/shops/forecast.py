"""Forecasts of shops: what a forecaster is told, what it says, and intervals that are scaled to the errors it made.

Every forecaster has `forecast(history, periods, context_future, planned_future) -> Forecast`. It may read all of
`history` (which begins where the panel it was fitted on began), the context of the M periods to come (N, M, C) and the
values of planned nodes in them (N, M, number of planned_ids, in that order); nothing else of the future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from models.errors import PanelError
from models.shops.panel import ShopPanel

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Mean and quantiles of the nodes `node_ids` of N shops in M periods, in the panel's units.

    mean: (N, M, J). quantiles: (N, M, J, Q) at `levels` (Q,), which rise and are symmetric about one half.
    """

    mean: np.ndarray
    quantiles: np.ndarray
    levels: tuple[float, ...]
    node_ids: tuple[str, ...]
    method: str

    def __post_init__(self) -> None:
        if self.quantiles.shape != (*self.mean.shape, len(self.levels)) or self.mean.shape[2] != len(
            self.node_ids
        ):
            raise ValueError(
                f"The forecast of {self.method} has means {self.mean.shape} and quantiles {self.quantiles.shape} for "
                f"{len(self.node_ids)} nodes and {len(self.levels)} levels. (N, M, J) and (N, M, J, Q) belong together."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.quantiles).all()):
            raise ValueError(f"The forecast of {self.method} holds values that are not finite.")

    @classmethod
    def of_draws(cls, draws: np.ndarray, node_ids: Sequence[str], method: str) -> Forecast:
        """From draws (N, S, M, J)."""
        quantiles = np.moveaxis(np.quantile(draws, LEVELS, axis=1), 0, -1)
        return cls(draws.mean(1), quantiles, LEVELS, tuple(node_ids), method)

    def node(self, node_id: str) -> Forecast:
        """The forecast of one node."""
        place = self.node_ids.index(node_id)
        part = slice(place, place + 1)
        return replace(
            self, mean=self.mean[:, :, part], quantiles=self.quantiles[:, :, part], node_ids=(node_id,)
        )

    def interval(self, coverage: float) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound (N, M, J) of the central interval; raises ValueError for a level that is not there."""
        found = [
            np.flatnonzero(np.isclose(self.levels, level))
            for level in ((1 - coverage) / 2, (1 + coverage) / 2)
        ]
        if not all(len(one) for one in found):
            raise ValueError(
                f"No central interval of {coverage:.0%} among the levels {self.levels}. Ask for another."
            )
        lower, upper = (int(one[0]) for one in found)
        return self.quantiles[..., lower], self.quantiles[..., upper]

    def widened(self, factor: np.ndarray) -> Forecast:
        """Quantiles moved away from the median by a factor for each period (M,)."""
        middle = self.quantiles[..., [self.levels.index(0.5)]]
        return replace(self, quantiles=middle + (self.quantiles - middle) * factor[None, :, None, None])


class Forecaster(Protocol):
    """Anything that was fitted and can forecast."""

    def forecast(
        self, history: ShopPanel, periods: int, context_future: np.ndarray, planned_future: np.ndarray
    ) -> Forecast:
        """See the module's docstring; at least the outcome is forecast."""
        ...


def check_future(
    history: ShopPanel, periods: int, context_future: np.ndarray, planned_future: np.ndarray
) -> None:
    """Raise PanelError where what is known of the future has not the shape that `history` asks for."""
    for name, given, width in (
        ("context_future", context_future, len(history.context_ids)),
        ("planned_future", planned_future, len(history.planned_ids)),
    ):
        shape = (history.shops_count, periods, width)
        if np.shape(given) != shape:
            raise PanelError(
                f"`{name}` has shape {np.shape(given)} where {shape} (shops, periods to come, columns) belongs. Give "
                "a column for each context variable or planned node, in the panel's order."
            )
        if not np.isfinite(given).all():
            raise PanelError(
                f"`{name}` holds values that are not finite; plans and contexts have to be complete."
            )


def planned_columns(panel: ShopPanel) -> list[int]:
    """Where the planned nodes stand among the nodes, in the order of planned_ids."""
    return [panel.node_ids.index(one) for one in panel.planned_ids]


def forecast_at(forecaster: Forecaster, panel: ShopPanel, origin: int, periods: int) -> Forecast:
    """Forecast periods origin, ... of the panel from those before, told the panel's own context and plans."""
    ahead = slice(origin, origin + periods)
    planned = panel.values[:, ahead][..., planned_columns(panel)]
    return forecaster.forecast(panel.periods(None, origin), periods, panel.context[:, ahead], planned)


@dataclass(frozen=True, slots=True, eq=False)
class ScaledIntervals:
    """A forecaster whose intervals are widened or narrowed, for each period ahead, to what it missed before.

    factor: (M,), for M or fewer periods ahead.
    """

    forecaster: Forecaster
    factor: np.ndarray

    @classmethod
    def learn(
        cls,
        forecaster: Forecaster,
        panel: ShopPanel,
        origins: Sequence[int],
        periods: int,
        coverage: float = 0.9,
    ) -> ScaledIntervals:
        """Conformal scaling on rolling origins that the forecaster was not fitted on.

        A period's factor is the (n + 1) coverage / n quantile, over shops, origins and the periods within two days of
        it, of the outcome's distance from the median in units of the interval's half width on that side.
        """
        scores = []
        for origin in origins:
            forecast = forecast_at(forecaster, panel, origin, periods).node(panel.outcome_id)
            truth = panel.values[:, origin : origin + periods, [panel.outcome_index]]
            lower, upper = forecast.interval(coverage)
            middle = forecast.quantiles[..., forecast.levels.index(0.5)]
            width = np.where(truth >= middle, upper - middle, middle - lower)
            scores.append((np.abs(truth - middle) / np.maximum(width, 1e-12))[..., 0])
        missed = np.concatenate(scores)  # (origins * N, M)
        factor = np.empty(periods)
        for step in range(periods):
            near = missed[:, max(0, step - 2) : step + 3] if periods > 1 else missed
            near = near if step > 1 else missed[:, step : step + 1]
            level = min(1.0, coverage * (near.size + 1) / near.size)
            factor[step] = np.quantile(near, level)
        return cls(forecaster, factor)

    def forecast(
        self, history: ShopPanel, periods: int, context_future: np.ndarray, planned_future: np.ndarray
    ) -> Forecast:
        """The forecaster's, with other intervals."""
        if periods > len(self.factor):
            raise ValueError(
                f"{periods} periods were asked for; intervals were scaled for {len(self.factor)}. Learn the scaling "
                "for as many."
            )
        forecast = self.forecaster.forecast(history, periods, context_future, planned_future)
        return forecast.widened(self.factor[:periods])
