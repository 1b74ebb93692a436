"""Pooled ridge regression: OLS shrunk by a penalty that generalised cross-validation chooses inside the training rows.

    b = argmin |y - a - X b|^2 + penalty |b|^2,  X standardised, the intercept free
    GCV(penalty) = n RSS / (n - df)^2,  df = 1 + sum_k d_k^2 / (d_k^2 + penalty),  d_k the singular values of X

Source: Golub, Heath and Wahba 1979. Held-out rows play no part in the choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.baselines.base import DesignMap, Prediction, Rows, as_rows
from models.panel import ConsumerPanel

PENALTIES_PER_ROW = np.logspace(-8.0, 2.0, 61)  # times the number of training rows: the grid that is searched


@dataclass(frozen=True, slots=True)
class Ridge:
    """with_characteristics: consumer characteristics among the columns. penalties: per training row, ascending."""

    with_characteristics: bool = False
    penalties: tuple[float, ...] = tuple(PENALTIES_PER_ROW)

    def fit(self, train: ConsumerPanel | Rows) -> FittedRidge:
        """Choose the penalty by GCV and fit; raises PanelError without training rows."""
        rows = as_rows(train)
        design_map = DesignMap.learn(rows, self.with_characteristics)
        inner = design_map.matrix(rows)[:, 1:]
        centre = inner.mean(axis=0)
        centred = inner - centre
        level = float(rows.outcome.mean())
        deviation = rows.outcome - level
        values, vectors = np.linalg.eigh(centred.T @ centred)
        values = np.maximum(values, 0.0)
        rotated = vectors.T @ (centred.T @ deviation)
        penalties = np.array(self.penalties) * len(rows)
        # RSS = y'y - 2 c'S c + c'S L S c with shrunken inverses S = 1 / (values + penalty), c = rotated
        shrunk = rotated / (values + penalties[:, None])
        residual = deviation @ deviation - 2.0 * shrunk @ rotated + (values * shrunk**2).sum(axis=1)
        freedom = 1.0 + (values / (values + penalties[:, None])).sum(axis=1)
        left = np.maximum(len(rows) - freedom, 1e-9)
        scores = len(rows) * residual / left**2
        best = int(np.argmin(scores))
        return FittedRidge(
            design_map=design_map,
            intercept=level,
            centre=centre,
            coefficients=vectors @ shrunk[best],
            penalty=float(penalties[best]),
            scores=scores,
            effective_columns=float(freedom[best]),
            noise_sd=float(np.sqrt(max(residual[best], 0.0) / max(left[best], 1.0))),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FittedRidge:
    """coefficients (p,): of the standardised columns; penalty: chosen, in the units of X'X; scores: GCV per penalty."""

    design_map: DesignMap
    intercept: float
    centre: np.ndarray
    coefficients: np.ndarray
    penalty: float
    scores: np.ndarray
    effective_columns: float
    noise_sd: float

    def predict(self, rows: Rows) -> Prediction:
        """Normal with the noise sd of training; the coefficients' own error is left out."""
        inner = self.design_map.matrix(rows)[:, 1:] - self.centre
        return Prediction(self.intercept + inner @ self.coefficients, np.full(len(rows), self.noise_sd))
