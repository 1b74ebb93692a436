"""Random consumer intercepts without consumer means: what a hierarchy alone makes of targeted exposure.

    y_it = a + W_i d + market_j + period_t + sum_c [ b_c x_ict + k_c log1p(x_ict / bend_c) ] + q' Z_jt + u_i + e_it
    u_i ~ N(0, r s^2),  e_it ~ N(0, s^2)

by generalised least squares at the maximum-likelihood ratio r. It takes u_i to be unrelated to exposure (Mundlak
1978): where exposure follows the wish to buy, part of the difference *between* consumers is credited to exposure.
Characteristics W are the intercept's only moderators, the consumers' own mean exposures are left out on purpose. A
comparison row, never primary; slopes do not vary over consumers here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import pinvh
from scipy.optimize import minimize_scalar

from models.characteristics_design import characteristics_matrix
from models.effects.within import concave_columns, effects_of_coefficients
from models.panel import ConsumerPanel

METHOD = "random_effects"
LOG_RATIO_BOUNDS = (-14.0, 7.0)  # of the variance of u over that of e


@dataclass(frozen=True, eq=False)
class RandomEffectsFit:
    """coefficients (K,), covariance (K, K) clustered by consumer; variance_ratio: variance of u over that of e."""

    coefficients: np.ndarray
    covariance: np.ndarray
    variance_ratio: float
    noise_variance: float


def fit_random_effects(
    outcome: np.ndarray, columns: np.ndarray, consumer_index: np.ndarray
) -> RandomEffectsFit:
    """Maximum likelihood of a random intercept, standard errors clustered by consumer.

    Parameters
    ----------
    outcome : (R,); columns : (R, K), with an intercept if there is to be one; columns that repeat others share theirs
    consumer_index : (R,) non-negative integers (any labels)
    """
    consumer_index = np.unique(consumer_index, return_inverse=True)[1]
    scale = np.sqrt((columns**2).mean(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    x = columns / scale
    rows = np.bincount(consumer_index).astype(float)
    sums_x = np.column_stack([np.bincount(consumer_index, column) for column in x.T])
    sums_y = np.bincount(consumer_index, outcome)
    xx, xy, yy = x.T @ x, x.T @ outcome, float(outcome @ outcome)

    def solve(ratio: float) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
        """Coefficients, inverse of X'V^-1 X, squares y'V^-1 y left over, and shrinkage w (N,); V in units of s^2."""
        shrink = ratio / (1.0 + rows * ratio)
        weighted = sums_x * shrink[:, None]
        bread = pinvh(xx - weighted.T @ sums_x)
        cross = xy - weighted.T @ sums_y
        coefficients = bread @ cross
        return coefficients, bread, yy - float(shrink @ sums_y**2) - float(cross @ coefficients), shrink

    def deviance(log_ratio: float) -> float:
        ratio = float(np.exp(log_ratio))
        return len(outcome) * np.log(max(solve(ratio)[2], 1e-300)) + np.log1p(rows * ratio).sum()

    best = minimize_scalar(deviance, bounds=LOG_RATIO_BOUNDS, method="bounded", options={"xatol": 1e-6})
    ratio = float(np.exp(best.x))
    coefficients, bread, squares, shrink = solve(ratio)
    errors = outcome - x @ coefficients
    scores = np.column_stack([np.bincount(consumer_index, column * errors) for column in x.T])
    scores -= sums_x * (shrink * np.bincount(consumer_index, errors))[:, None]
    clusters = len(rows)
    covariance = clusters / max(clusters - 1, 1) * bread @ (scores.T @ scores) @ bread
    return RandomEffectsFit(
        coefficients / scale, covariance / np.outer(scale, scale), ratio, squares / len(outcome)
    )


def random_effects(panel: ConsumerPanel, *, interval_level: float = 0.95) -> pd.DataFrame:
    """Channel effects of that regression, in the columns of the artefact `channel_effects`.

    A channel whose exposure never varies has rows with NaN and a reason.
    """
    exposures, names = concave_columns(panel.exposures, panel.channel_ids, panel.exposure_bends)
    characteristics, _ = characteristics_matrix(panel)
    blocks = [exposures, np.ones((panel.rows_count, 1)), panel.covariates]
    blocks += [
        characteristics[panel.consumer_index],
        _dummies(panel.market_index),
        _dummies(panel.period_index),
    ]
    columns = np.column_stack(blocks)
    fit = fit_random_effects(panel.gmv, columns, panel.consumer_index)
    size = len(names)
    return effects_of_coefficients(
        panel.exposures,
        panel.channel_ids,
        panel.exposure_bends,
        panel.currency_code,
        fit.coefficients[:size],
        fit.covariance[:size, :size],
        np.ptp(panel.exposures, axis=0) > 0,
        method=METHOD,
        interval_level=interval_level,
        reason="exposure does not vary",
    )


def _dummies(index: np.ndarray) -> np.ndarray:
    """One column per group but the first."""
    return (index[:, None] == np.arange(1, index.max() + 1)).astype(float)
