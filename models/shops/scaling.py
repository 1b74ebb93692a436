"""Values of each shop's nodes on a common scale, and back.

standard   (x - mean) / sd of the shop's own periods
log        log1p(x / typical), typical being the shop's median above 0, then standardised: spend and sales are skewed
ranks      normal scores of the shop's own ranks (the outcome alone): undoes any monotone response, such as
           Simulation 2's S-curve, which is what structure learning wants; beyond the range seen it goes on straight
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from models.errors import PanelError
from models.shops.panel import ShopPanel

NODE_SCALES = ("standard", "log")
OUTCOME_SCALES = ("standard", "log", "ranks")


@dataclass(frozen=True, slots=True, eq=False)
class ShopScaler:
    """Maps of N shops.

    typical: (N, D), infinite where no logarithm is taken. mean, sd: (N, D) after that. outcome: its column.
    context_mean, context_sd: (C,), shops together.
    knots, scores: (N, T) increasing outcome values and their normal scores where the outcome goes by ranks, else None.
    """

    typical: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    outcome: int
    context_mean: np.ndarray
    context_sd: np.ndarray
    knots: np.ndarray | None
    scores: np.ndarray | None

    @classmethod
    def learn(cls, panel: ShopPanel, node_scale: str, outcome_scale: str) -> ShopScaler:
        """From all periods of the panel.

        Raises PanelError where a logarithm meets a negative value. A node that never changes in a shop gets sd 1.
        """
        y, values = panel.outcome_index, panel.values
        typical = np.full(values.shape[::2], np.inf)
        for node in range(panel.nodes_count):
            if (outcome_scale if node == y else node_scale) == "log":
                typical[:, node] = _typical(values[..., node], panel.node_ids[node])
        logged = _logged(values, typical)
        mean, sd = logged.mean(1), logged.std(1)
        context = panel.context
        context_sd = context.std((0, 1)) if context.size else np.ones(context.shape[-1])
        knots, scores = _rank_map(values[..., y]) if outcome_scale == "ranks" else (None, None)
        return cls(
            typical=typical,
            mean=mean,
            sd=np.where(sd > 1e-12 * (1 + np.abs(mean)), sd, 1.0),
            outcome=y,
            context_mean=context.mean((0, 1)) if context.size else np.zeros(context.shape[-1]),
            context_sd=np.where(context_sd > 1e-12, context_sd, 1.0),
            knots=knots,
            scores=scores,
        )

    def shops(self, keep: np.ndarray) -> ShopScaler:
        """The maps of the shops at these positions."""
        each = {name: getattr(self, name) for name in ("typical", "mean", "sd", "knots", "scores")}
        return replace(self, **{name: None if one is None else one[keep] for name, one in each.items()})

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """(N, T, D) in the panel's units -> working scale."""
        out = (_logged(values, self.typical) - self.mean[:, None]) / self.sd[:, None]
        if self.knots is not None:
            for shop, row in enumerate(values[..., self.outcome]):
                out[shop, :, self.outcome] = _piecewise(row, self.knots[shop], self.scores[shop])
        return out

    def scaled_context(self, context: np.ndarray) -> np.ndarray:
        """(N, T, C) standardised over shops and periods."""
        return (context - self.context_mean) / self.context_sd

    def restored(self, scaled: np.ndarray) -> np.ndarray:
        """(N, ..., D) of the working scale -> the panel's units."""
        shape = (len(self.mean),) + (1,) * (scaled.ndim - 2) + (self.mean.shape[1],)
        typical = self.typical.reshape(shape)
        out = scaled * self.sd.reshape(shape) + self.mean.reshape(shape)
        taken = np.isfinite(typical)
        out = np.where(
            taken, np.where(taken, typical, 1.0) * np.expm1(np.where(taken, out, 0.0)).clip(0), out
        )
        if self.knots is not None:
            for shop in range(len(scaled)):
                row = scaled[shop, ..., self.outcome]
                out[shop, ..., self.outcome] = _piecewise(row, self.scores[shop], self.knots[shop])
        return out


def _typical(series: np.ndarray, node_id: str) -> np.ndarray:
    """(N, T) -> (N,) median of what is above 0; 1 where nothing is."""
    if (series < 0).any():
        raise PanelError(
            f"Node {node_id!r} holds {int((series < 0).sum())} values below 0, whose logarithm the scale 'log' would "
            "take. Scale the nodes (or the outcome) by 'standard'."
        )
    return np.array([np.median(row[row > 0]) if (row > 0).any() else 1.0 for row in series])


def _logged(values: np.ndarray, typical: np.ndarray) -> np.ndarray:
    """(N, T, D) with log1p(x / typical) where typical (N, D) is finite."""
    taken = np.isfinite(typical)[:, None]
    size = np.where(taken, typical[:, None], 1.0)
    return np.where(taken, np.log1p(np.where(taken, values, 0.0) / size), values)


def _rank_map(outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, T) -> increasing knots and scores, (N, T); ties share a score, and the line goes on in their place."""
    shops, periods = outcome.shape
    knots, scores = np.empty((shops, periods)), np.empty((shops, periods))
    for shop, row in enumerate(outcome):
        unique, counts = np.unique(row, return_counts=True)
        score = ndtri((np.cumsum(counts) - counts / 2) / periods)
        step = (unique[-1] - unique[0]) / (score[-1] - score[0]) if len(unique) > 1 else 1.0
        padding = np.arange(1, periods - len(unique) + 1)
        knots[shop] = np.concatenate([unique, unique[-1] + padding * step])
        scores[shop] = np.concatenate([score, score[-1] + padding])
    return knots, scores


def _piecewise(x: np.ndarray, x_knots: np.ndarray, y_knots: np.ndarray) -> np.ndarray:
    """Linear interpolation, continued beyond the knots with the slope of the whole range."""
    slope = (y_knots[-1] - y_knots[0]) / (x_knots[-1] - x_knots[0])
    inside = np.interp(x, x_knots, y_knots)
    return inside + slope * (np.minimum(x - x_knots[0], 0) + np.maximum(x - x_knots[-1], 0))


def with_season(context: np.ndarray, season: int, first: int) -> np.ndarray:
    """Context (N, T, C) and 0/1 columns for the places in a cycle of `season` periods; `first` is the first's place."""
    place = (
        (first + np.arange(context.shape[1])) % season if season else np.zeros(context.shape[1], dtype=int)
    )
    columns = np.eye(season)[place] if season else np.zeros((context.shape[1], 0))
    return np.concatenate([context, np.broadcast_to(columns, (len(context), *columns.shape))], axis=2)
