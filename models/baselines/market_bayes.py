"""Non-hierarchical Bayes: a conjugate normal regression for each market by itself; nothing is shared between markets.

    y = X b + e,  e ~ N(0, s2),  b | s2 ~ N(0, s2 prior_sd^2 I),  s2 ~ InverseGamma(a0, b0)     (one market's rows)
    L = X'X + I / prior_sd^2,  m = L^-1 X'y,  a = a0 + n / 2,  b_n = b0 + (y'y - m'L m) / 2
    y* | y ~ t with 2a degrees of freedom, mean x'm, squared scale (b_n / a) (1 + x'L^-1 x)

Columns are standardised on all training rows (an affine map, no outcomes in it); the outcome by the market's own mean
and sd, so that the priors are weak and read one market only. Source: Gelman et al., Bayesian Data Analysis, 14.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.baselines.base import DesignMap, GroupMeans, Prediction, Rows, as_rows, combine, rows_where
from models.panel import ConsumerPanel


@dataclass(frozen=True, slots=True)
class MarketBayes:
    """with_characteristics: consumer characteristics among the columns.

    prior_sd: of a coefficient, in noise sds per standard deviation of its column. noise_shape, noise_scale: a0 > 1 and
    b0 of the variance, in squared sds of the market's outcome. min_rows: markets with fewer rows fall back.
    """

    with_characteristics: bool = False
    prior_sd: float = 10.0
    noise_shape: float = 2.0
    noise_scale: float = 1.0
    min_rows: int = 2

    def __post_init__(self) -> None:
        if not (self.prior_sd > 0 and self.noise_shape > 1 and self.noise_scale > 0 and self.min_rows >= 2):
            raise ValueError(
                f"prior_sd {self.prior_sd} and noise_scale {self.noise_scale} must be positive, noise_shape "
                f"{self.noise_shape} above 1 and min_rows {self.min_rows} at least 2."
            )

    def fit(self, train: ConsumerPanel | Rows) -> FittedMarketBayes:
        """One closed-form posterior a market; raises PanelError without training rows."""
        rows = as_rows(train)
        design_map = DesignMap.learn(rows, self.with_characteristics)
        design = design_map.matrix(rows)
        codes, markets = pd.factorize(rows.market_ids, sort=True)
        posteriors = {}
        for j, market in enumerate(markets):
            mine = codes == j
            outcome = rows.outcome[mine]
            level, spread = float(outcome.mean()), float(outcome.std())
            if len(outcome) >= self.min_rows and spread > 0:
                part = posterior(design[mine], (outcome - level) / spread, self)
                posteriors[str(market)] = (*part, level, spread)
        return FittedMarketBayes(design_map, posteriors, GroupMeans.learn(rows))


def posterior(
    design: np.ndarray, outcome: np.ndarray, settings: MarketBayes
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """(m (p,), L^-1 (p, p), a, b_n) of one regression: design (n, p), outcome (n,)."""
    precision = design.T @ design + np.eye(design.shape[1]) / settings.prior_sd**2
    inverse = np.linalg.inv(precision)
    mean = inverse @ (design.T @ outcome)
    shape = settings.noise_shape + 0.5 * len(outcome)
    scale = settings.noise_scale + 0.5 * float(outcome @ outcome - mean @ precision @ mean)
    return mean, inverse, shape, scale


@dataclass(frozen=True, slots=True, eq=False)
class FittedMarketBayes:
    """posteriors: market -> (m, L^-1, a, b_n, outcome mean, outcome sd)."""

    design_map: DesignMap
    posteriors: dict[str, tuple]
    means: GroupMeans

    def predict(self, rows: Rows) -> Prediction:
        """Student t of the row's own market; markets without a posterior get the overall mean, named in source."""
        design = self.design_map.matrix(rows)
        parts, left = [], np.ones(len(rows), dtype=bool)
        for market, (mean, inverse, shape, scale, level, spread) in self.posteriors.items():
            mine = np.array(rows.market_ids == market, dtype=bool)
            if not mine.any():
                continue
            x = design[mine]
            squared = scale / shape * (1.0 + np.einsum("np,pq,nq->n", x, inverse, x))
            freedom = np.full(len(x), 2.0 * shape)
            sd = spread * np.sqrt(squared * freedom / (freedom - 2.0))
            parts.append((mine, Prediction(level + spread * (x @ mean), sd, freedom)))
            left &= ~mine
        if left.any():
            parts.append((left, self.means.predict(rows_where(rows, left))))
        return combine(len(rows), parts)
