"""No pooling: a least-squares regression for each consumer by itself.

    y_it = a_i + x_it' b_i + z_it' g_i + e_it,  e_it ~ N(0, s2_i)

Consumers with fewer than min_degrees rows beyond the rank of their columns cannot be fitted: they get the mean and sd
of their market's training rows, are counted, and named in Prediction.source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.baselines.base import DesignMap, GroupMeans, Prediction, Rows, as_rows, combine, rows_where
from models.panel import ConsumerPanel

_RANK_TOLERANCE = 1e-8


@dataclass(frozen=True, slots=True)
class ConsumerOLS:
    """min_degrees: rows needed beyond the rank of a consumer's columns, at least 3 (the predictive t needs above 2)."""

    min_degrees: int = 3

    def __post_init__(self) -> None:
        if self.min_degrees < 3:
            raise ValueError(f"min_degrees is {self.min_degrees}; the predictive variance needs 3 or more.")

    def fit(self, train: ConsumerPanel | Rows) -> FittedConsumerOLS:
        """All consumers at once, from their Gram matrices; raises PanelError without training rows."""
        rows = as_rows(train)
        design_map = DesignMap.learn(rows)
        design = design_map.matrix(rows)
        codes, consumers = pd.factorize(rows.consumer_ids, sort=True)
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes)
        starts = np.cumsum(counts) - counts
        x, y = design[order], rows.outcome[order]
        gram = np.add.reduceat(x[:, :, None] * x[:, None, :], starts, axis=0)
        values, vectors = np.linalg.eigh(gram)
        real = values > _RANK_TOLERANCE * values[:, -1:]
        inverse = np.einsum(
            "npk,nk,nqk->npq", vectors, np.where(real, 1.0 / np.where(real, values, 1.0), 0.0), vectors
        )
        moments = np.add.reduceat(x * y[:, None], starts, axis=0)
        coefficients = np.einsum("npq,nq->np", inverse, moments)
        residual = y - np.einsum("rp,rp->r", x, coefficients[codes[order]])
        degrees = counts - real.sum(axis=1)
        squares = np.add.reduceat(residual**2, starts)
        return FittedConsumerOLS(
            design_map=design_map,
            consumers=pd.Index(consumers),
            coefficients=coefficients,
            inverse=inverse,
            degrees=degrees,
            noise_variance=squares / np.maximum(degrees, 1),
            is_fitted=degrees >= self.min_degrees,
            means=GroupMeans.learn(rows),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FittedConsumerOLS:
    """By consumer: coefficients (N, p), (X'X)^+ (N, p, p), degrees and noise variance (N,), is_fitted (N,) bool."""

    design_map: DesignMap
    consumers: pd.Index
    coefficients: np.ndarray
    inverse: np.ndarray
    degrees: np.ndarray
    noise_variance: np.ndarray
    is_fitted: np.ndarray
    means: GroupMeans

    def predict(self, rows: Rows) -> Prediction:
        """Student t of the consumer's own regression; the market mean for consumers unfitted or unknown."""
        position = self.consumers.get_indexer(pd.Index(rows.consumer_ids))
        own = (position >= 0) & self.is_fitted[position]
        parts = []
        if own.any():
            who, x = position[own], self.design_map.matrix(rows_where(rows, own))
            spread = 1.0 + np.einsum("rp,rpq,rq->r", x, self.inverse[who], x)
            freedom = self.degrees[who].astype(float)
            sd = np.sqrt(self.noise_variance[who] * spread * freedom / (freedom - 2.0))
            parts.append((own, Prediction(np.einsum("rp,rp->r", x, self.coefficients[who]), sd, freedom)))
        if not own.all():
            parts.append((~own, self.means.predict(rows_where(rows, ~own))))
        return combine(len(rows), parts)
