"""Errors of forecasts at rolling origins, and the same search budget for every forecaster, with a log of every try."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from models.shops.forecast import Forecaster, forecast_at
from models.shops.panel import ShopPanel

Fit = Callable[[Any, ShopPanel], Forecaster]  # settings, training panel -> fitted


@dataclass(frozen=True, slots=True, eq=False)
class ForecastErrors:
    """Of the outcome, standardised per shop: squared (O, N, M); covered (O, N, M) bool and width (O, N, M) at 90 %."""

    squared: np.ndarray
    covered: np.ndarray
    width: np.ndarray

    def figures(self, horizon: int) -> dict[str, float]:
        """Means over shops and origins; squared error as mean and as sum over the first `horizon` periods."""
        squared = self.squared[..., :horizon].mean((0, 1))
        return {
            "mse_mean": float(squared.mean()),
            "mse_sum": float(squared.sum()),
            "coverage": float(self.covered[..., :horizon].mean()),
            "width": float(self.width[..., :horizon].mean()),
        }


def forecast_errors(
    forecaster: Forecaster, panel: ShopPanel, origins: Sequence[int], periods: int, scale: np.ndarray
) -> ForecastErrors:
    """Forecasts from every origin against what came. scale (N,): by which errors of a shop are divided."""
    squared, covered, width = [], [], []
    for origin in origins:
        forecast = forecast_at(forecaster, panel, origin, periods).node(panel.outcome_id)
        truth = panel.values[:, origin : origin + periods, panel.outcome_index]
        lower, upper = (bound[..., 0] for bound in forecast.interval(0.9))
        squared.append(((truth - forecast.mean[..., 0]) / scale[:, None]) ** 2)
        covered.append((lower <= truth) & (truth <= upper))
        width.append((upper - lower) / scale[:, None])
    return ForecastErrors(np.stack(squared), np.stack(covered), np.stack(width))


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What may be tried for one forecaster.

    base: its settings. choices: field -> values; `training.epochs` reaches into the field `training`.
    """

    base: Any
    choices: dict[str, tuple]

    def candidates(self, budget: int, seed: int) -> list[Any]:
        """The base settings and then `budget` - 1 draws without repeats (fewer where the space is smaller)."""
        rng = np.random.default_rng(seed)
        found, tried = [self.base], {repr(self.base)}
        size = int(np.prod([len(values) for values in self.choices.values()]))
        for _ in range(50 * budget):
            if len(found) >= min(budget, size):
                break
            drawn = {name: values[rng.integers(len(values))] for name, values in self.choices.items()}
            candidate = changed(self.base, drawn)
            if repr(candidate) not in tried:
                tried.add(repr(candidate))
                found.append(candidate)
        return found


def changed(settings: Any, fields: dict[str, Any]) -> Any:
    """Settings with other values; a name with a dot reaches into a field that holds settings itself."""
    for name, value in fields.items():
        if "." in name:
            outer, inner = name.split(".", 1)
            settings = replace(settings, **{outer: changed(getattr(settings, outer), {inner: value})})
        else:
            settings = replace(settings, **{name: value})
    return settings


def search(
    fit: Fit,
    space: SearchSpace,
    panel: ShopPanel,
    origins: Sequence[int],
    horizons: Sequence[int],
    budget: int,
    seed: int,
    tell: Callable[[str], None] | None = None,
) -> tuple[Any, list[dict[str, Any]]]:
    """Best settings by the validation error, and a row for every try.

    Every candidate is fitted on the periods before origins[0] and judged on all origins by the mean over horizons of
    its mean squared error. Rows: settings, error, seconds.
    """
    train = panel.periods(None, origins[0])
    scale = train.values[..., panel.outcome_index].std(1)
    log: list[dict[str, Any]] = []
    best, lowest = None, np.inf
    for candidate in space.candidates(budget, seed):
        begun = time.perf_counter()
        errors = forecast_errors(fit(candidate, train), panel, origins, max(horizons), scale)
        error = float(np.mean([errors.figures(horizon)["mse_mean"] for horizon in horizons]))
        log.append(
            {"settings": asdict(candidate), "error": error, "seconds": round(time.perf_counter() - begun, 1)}
        )
        if tell is not None:
            tell(f"try {len(log)} of {budget}: error {error:.4f} in {log[-1]['seconds']} s")
        if error < lowest:
            best, lowest = candidate, error
    return best, log
