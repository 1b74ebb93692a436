"""Periods above a consumer's own median exposure against that consumer's other periods: within-consumer AIPW.

D_it = 1 where x_it is above the median of x_i1..x_iT (where none is, because the median is the largest value:
at it, so that a 0/1 exposure stays as it is). Consumers without both kinds of period are left out.

Everything constant about a consumer, the latent propensity to buy included, is the same on both sides:

    e_it    = P(D_it = 1 | own number of high periods, F), w_it = exp(q' F_it)   (permutation_propensity)
    g_d(it) = a_i + tau d + r' F_it,   a_i the consumer's own mean residual

F are period effects, market covariates and the present exposures of other channels, less the consumer's means;
q, r and tau come from the other folds' consumers, a_i and the number of high periods from the consumer. With q = 0 the
AIPW score averages, over consumers, the difference of their mean residuals, so that a_i cancels exactly: the own share
is the assignment probability of a random permutation of the consumer's periods. (studies/hbmmm.md, section 5;
AIPW: Robins, Rotnitzky and Zhao 1994.)

Unbiased where periods of a consumer are exchangeable given F, or where the additive outcome model holds, and
under strict exogeneity: the median uses all periods, so exposure that reacts to last period's purchase, and a
passing wish to buy, break it. For doses the effect is that of the consumer's high periods against the others,
whose size depends on how far exposure swings; it is a check of sign and size, not a slope.

Where exposure comes in waves that all consumers share, rows outside a wave have no counterpart: their score would be
tau without its error. They are trimmed, and the effect speaks of the rows that are left. What estimating tau, r, q and
a_i adds to the error is carried as influence of every row, trimmed or not (`FittingInfluence`; the first-order terms
of stacked estimating equations, Newey and McFadden 1994, section 6). What each of the two is worth is measured in
docs/studies/causal_layer.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.effects.cross_fitting import Nuisances
from models.effects.doubly_robust import ExposureScores, FittingInfluence, exposure_scores
from models.effects.permutation_propensity import (
    ConsumerGrid,
    fit_tilt,
    permutation_propensities,
    tilted_columns,
)
from models.errors import OverlapError

PRIOR_SD = 1.0  # of q: log odds per standard deviation of a column
RANK_TOLERANCE = 1e-10  # of eigenvalues of the Gram matrix of columns with unit size


@dataclass(frozen=True, eq=False)
class OwnMedianFit:
    """Cross-fitted nuisances of (R,) rows, and by fold what the influence of their estimation needs.

    Attributes
    ----------
    nuisances : e, g0, g1
    tilt, within : (R,) D less the own share, (R, K) columns F less own means, standardised
    fold_residuals : fold -> (R,) residual of the outcome model that was fitted without the fold
    fold_bread : fold -> (K + 1, K + 1) inverse Gram matrix of its training rows; fold_hessian : (K, K) inverse, of q
    """

    nuisances: Nuisances
    tilt: np.ndarray
    within: np.ndarray
    fold: np.ndarray
    fold_residuals: dict[int, np.ndarray]
    fold_bread: dict[int, np.ndarray]
    fold_hessian: dict[int, np.ndarray]


def above_own_median(exposures: np.ndarray, consumer_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """D and whether the consumer has both kinds of period: (R,) bool each."""
    position = np.unique(consumer_index, return_inverse=True)[1]
    order = np.lexsort((exposures, position))
    counts = np.bincount(position)
    starts = np.cumsum(counts) - counts
    ranked = exposures[order]
    middle = (ranked[starts + (counts - 1) // 2] + ranked[starts + counts // 2]) / 2
    largest = ranked[starts + counts - 1]
    at_largest = (middle == largest)[position]
    treatment = np.where(at_largest, exposures >= middle[position], exposures > middle[position])
    treated = np.bincount(position, treatment)
    varies = (treated > 0) & (treated < counts)
    return treatment, varies[position]


def own_median_nuisances(
    treatment: np.ndarray,
    outcome: np.ndarray,
    consumer_index: np.ndarray,
    columns: np.ndarray,
    fold: np.ndarray,
) -> OwnMedianFit:
    """e, g0, g1 of consumers with both kinds of period, cross-fitted over consumers.

    Parameters
    ----------
    treatment : (R,) bool; outcome : (R,) money; columns : (R, K) F before the consumer's means are taken out
    fold : (R,) from `consumer_folds`

    Raises
    ------
    OverlapError : a consumer has only one kind of period (drop it first, see `above_own_median`).
    ConvergenceError : the propensity did not settle.
    """
    position = np.unique(consumer_index, return_inverse=True)[1]
    share = _own_means(treatment.astype(float), position)
    if np.any((share == 0) | (share == 1)):
        lacking = len(np.unique(position[(share == 0) | (share == 1)]))
        raise OverlapError(
            f"{lacking} consumers have periods of one kind only, so nothing within them can be compared. "
            "Keep the consumers that above_own_median marks as varying."
        )
    within = np.column_stack([column - _own_means(column, position) for column in columns.T] or [0 * outcome])
    spread = within.std(axis=0)
    within = within[:, spread > 1e-12] / spread[spread > 1e-12]
    tilt = treatment - share
    response = outcome - _own_means(outcome, position)
    design = np.column_stack([tilt, within])
    propensity, unexposed, effect = (np.empty(len(outcome)) for _ in range(3))
    residuals, bread, hessian = {}, {}, {}
    q = None
    for k in np.unique(fold).tolist():
        held, train = fold == k, fold != k
        bread[k] = np.linalg.pinv(design[train].T @ design[train], rcond=RANK_TOLERANCE, hermitian=True)
        coefficients = bread[k] @ (design[train].T @ response[train])
        residuals[k] = response - design @ coefficients
        q, hessian[k] = fit_tilt(within[train], treatment[train], position[train], PRIOR_SD**-2.0, start=q)
        grid = ConsumerGrid.of(treatment[held], position[held])
        propensity[held] = permutation_propensities(within[held] @ q, grid)[0]
        unexposed[held] = (within[held] @ coefficients[1:]) - coefficients[0] * share[held]
        effect[held] = coefficients[0]
    unexposed += _own_means(outcome, position)
    nuisances = Nuisances(propensity, unexposed, unexposed + effect)
    return OwnMedianFit(nuisances, tilt, within, fold, residuals, bread, hessian)


def own_median_scores(
    treatment: np.ndarray,
    outcome: np.ndarray,
    consumer_index: np.ndarray,
    period_index: np.ndarray,
    columns: np.ndarray,
    fold: np.ndarray,
    *,
    trimming_threshold: float = 0.02,
    clipping_threshold: float = 0.01,
) -> ExposureScores:
    """AIPW scores of the rows that have a counterpart, with the influence of fitting; arguments as above.

    Raises
    ------
    OverlapError : no two arms are left after trimming.
    """
    fit = own_median_nuisances(treatment, outcome, consumer_index, columns, fold)
    scores = exposure_scores(
        treatment,
        outcome,
        consumer_index,
        fit.nuisances,
        period_index=period_index,
        trimming_threshold=trimming_threshold,
        clipping_threshold=clipping_threshold,
    )
    influence = _fitting_influence(
        fit, treatment, outcome, consumer_index, trimming_threshold, clipping_threshold
    )
    return scores.with_fitting(FittingInfluence(influence, consumer_index, period_index))


def _fitting_influence(
    fit: OwnMedianFit,
    treatment: np.ndarray,
    outcome: np.ndarray,
    consumer_index: np.ndarray,
    trimming_threshold: float,
    clipping_threshold: float,
) -> np.ndarray:
    """(R,) influence of each row on the sum of kept rows' scores through tau, r, q and a_i."""
    position = np.unique(consumer_index, return_inverse=True)[1]
    raw = fit.nuisances.propensity_raw
    kept = (raw >= trimming_threshold) & (raw <= 1 - trimming_threshold)
    e = raw.clip(clipping_threshold, 1 - clipping_threshold)
    d = treatment.astype(float)
    residual = outcome - np.where(treatment, fit.nuisances.outcome_exposed, fit.nuisances.outcome_unexposed)
    weight = kept * (d / e - (1 - d) / (1 - e))
    own = np.bincount(position, weight) / np.bincount(position)
    influence = -own[position] * residual  # a_i: the residual of every period of the consumer is in its mean
    on_tilt = kept - weight * fit.tilt
    steepness = -residual * (d * (1 - e) / e + (1 - d) * e / (1 - e)) * (kept & (raw == e))
    for k, bread in fit.fold_bread.items():
        held, train = fit.fold == k, fit.fold != k
        by_outcome = np.append(on_tilt[held].sum(), -(weight[held] @ fit.within[held])) @ bread
        tilted = tilted_columns(fit.within[held], raw[held], position[held])
        by_tilt = (steepness[held] @ tilted) @ fit.fold_hessian[k]
        slopes = by_outcome[0] * fit.tilt + fit.within @ by_outcome[1:]
        influence += train * slopes * fit.fold_residuals[k]
        influence += train * (d - raw) * (fit.within @ by_tilt)
    return influence


def _own_means(values: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(R,) mean of the row's consumer."""
    return (np.bincount(position, values) / np.bincount(position))[position]
