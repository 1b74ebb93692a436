"""Pooled least squares of GMV on exposures: the comparison everybody starts from, wrong under targeting.

    y_it = a + sum_c b_c x_ict (+ characteristics, market, period and market covariates) + e_it

`slope` is b_c, `contribution` b_c times all exposures. Targeted channels reach people who buy anyway, and
characteristics do not carry that wish, so b_c is too high with and without them; it is published beside the
model only to show by how much.
Standard errors are clustered by consumer: the intervals fail for their centre, not for their width.
`PooledOLS` predicts from the same regression: exposures, market covariates and, if asked, characteristics; without
dummies of periods, which held-out periods have none of, nor of markets, which are what the hierarchy is for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import pinvh

from models.baselines.base import DesignMap, Prediction, Rows, as_rows, least_squares
from models.characteristics_design import characteristics_matrix
from models.effect_rows import effect_row, normal_numbers
from models.panel import ConsumerPanel


def pooled_ols_effects(
    panel: ConsumerPanel, *, with_covariates: bool = False, interval_level: float = 0.95
) -> pd.DataFrame:
    """Slopes and contributions by pooled OLS, in the columns of the artefact `channel_effects`.

    Method `pooled_ols`, or `pooled_ols_covariates` with characteristics, market, period and covariates.
    A channel without variation has rows with NaN and a reason.
    """
    channels = len(panel.channel_ids)
    blocks = [panel.exposures, np.ones((panel.rows_count, 1))]
    if with_covariates:
        characteristics, _ = characteristics_matrix(panel)
        blocks += [characteristics[panel.consumer_index], panel.covariates]
        blocks += [_dummies(panel.market_index), _dummies(panel.period_index)]
    design = np.column_stack(blocks)
    scale = np.sqrt((design**2).mean(axis=0))
    design = design / np.where(scale > 0, scale, 1.0)
    bread = pinvh(design.T @ design)
    coefficients = bread @ (design.T @ panel.gmv)
    errors = panel.gmv - design @ coefficients
    clusters = panel.consumers_count
    scores = np.column_stack(
        [np.bincount(panel.consumer_index, design[:, k] * errors, clusters) for k in range(design.shape[1])]
    )
    covariance = clusters / max(clusters - 1, 1) * bread @ (scores.T @ scores) @ bread
    standard_errors = np.sqrt(np.diag(covariance).clip(min=0.0))

    method = "pooled_ols_covariates" if with_covariates else "pooled_ols"
    totals = panel.exposures.sum(axis=0)
    rows = []
    for c in range(channels):
        varies = np.ptp(panel.exposures[:, c]) > 0
        slope = coefficients[c] / scale[c] if varies else np.nan
        error = standard_errors[c] / scale[c] if varies else np.nan
        reason = None if varies else "exposure does not vary"
        for estimand, factor, unit in (
            ("slope", 1.0, f"{panel.currency_code} per exposure"),
            ("contribution", totals[c], panel.currency_code),
        ):
            row = effect_row(
                panel.channel_ids[c],
                estimand,
                "panel_rows",
                unit,
                method=method,
                interval_level=interval_level,
                not_identified_reason=reason,
                **normal_numbers(factor * slope, factor * error, interval_level),
            )
            rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True, slots=True)
class PooledOLS:
    """The reference of comparison tables. with_characteristics: consumer characteristics among the columns."""

    with_characteristics: bool = False

    def fit(self, train: ConsumerPanel | Rows) -> FittedOLS:
        """Least squares over all training rows; raises PanelError without any."""
        rows = as_rows(train)
        design_map = DesignMap.learn(rows, self.with_characteristics)
        design = design_map.matrix(rows)
        coefficients, inverse, rank = least_squares(design, rows.outcome)
        squares = float(((rows.outcome - design @ coefficients) ** 2).sum())
        degrees = max(len(rows) - rank, 3)
        return FittedOLS(design_map, coefficients, inverse, squares / degrees, degrees)


@dataclass(frozen=True, slots=True, eq=False)
class FittedOLS:
    """coefficients (p,) of the standardised columns, intercept first; inverse (p, p) of X'X; noise_variance."""

    design_map: DesignMap
    coefficients: np.ndarray
    inverse: np.ndarray
    noise_variance: float
    degrees: int

    def predict(self, rows: Rows) -> Prediction:
        """Student t with the coefficients' error and the noise."""
        design = self.design_map.matrix(rows)
        scale = self.noise_variance * (1.0 + np.einsum("np,pq,nq->n", design, self.inverse, design))
        freedom = np.full(len(rows), float(self.degrees))
        return Prediction(design @ self.coefficients, np.sqrt(scale * freedom / (freedom - 2.0)), freedom)


def _dummies(index: np.ndarray) -> np.ndarray:
    """One column per group but the first."""
    return (index[:, None] == np.arange(1, index.max() + 1)).astype(float)
