"""Periods above a consumer's own median exposure against that consumer's other periods: within-consumer AIPW.

D_it = 1 where x_it is above the median of x_i1..x_iT (where none is, because the median is the largest value:
at it, so that a 0/1 exposure stays as it is). Consumers without both kinds of period are left out.

Everything constant about a consumer, the latent propensity to buy included, is the same on both sides:

    logit e_it = logit(own share of periods with D = 1) + q' F_it
    g_d(it)    = a_i + tau d + r' F_it,   a_i the consumer's own mean residual

F are period effects, market covariates and the present exposures of other channels, less the consumer's means;
q, r and tau come from the other folds' consumers, a_i and the own share from the consumer. With q = 0 the AIPW
score averages, over consumers, the difference of their mean residuals, so that a_i cancels exactly: the own share
is the assignment probability of a random permutation of the consumer's periods. (studies/hbmmm.md, section 5;
AIPW: Robins, Rotnitzky and Zhao 1994.)

Unbiased where periods of a consumer are exchangeable given F, or where the additive outcome model holds, and
under strict exogeneity: the median uses all periods, so exposure that reacts to last period's purchase, and a
passing wish to buy, break it. For doses the effect is that of the consumer's high periods against the others,
whose size depends on how far exposure swings; it is a check of sign and size, not a slope.

Nothing is trimmed. Where exposure comes in waves that all consumers share, rows outside a wave have no counterpart,
their score is the fitted effect without its error, and intervals are too narrow: on Complete Journey's mailings those
of a sample and of the whole panel did not overlap (2026-11-22). Do not publish such rows as identified.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from models.effects.cross_fitting import Nuisances
from models.effects.logistic_posterior import penalised_logistic
from models.errors import OverlapError

PRIOR_SD = 1.0  # of q: log odds per standard deviation of a column


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
) -> Nuisances:
    """e, g0, g1 of consumers with both kinds of period, cross-fitted over consumers.

    Parameters
    ----------
    treatment : (R,) bool; outcome : (R,) money; columns : (R, K) F before the consumer's means are taken out
    fold : (R,) from `consumer_folds`

    Raises
    ------
    OverlapError : a consumer has only one kind of period (drop it first, see `above_own_median`).
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
    precision = np.full(within.shape[1], PRIOR_SD**-2.0)
    propensity, unexposed, effect = (np.empty(len(outcome)) for _ in range(3))
    offset = logit(share)
    for k in np.unique(fold):
        held, train = fold == k, fold != k
        coefficients = np.linalg.lstsq(design[train], response[train], rcond=None)[0]
        q = penalised_logistic(within[train], treatment[train], precision, offset[train])
        propensity[held] = expit(offset[held] + within[held] @ q)
        unexposed[held] = (within[held] @ coefficients[1:]) - coefficients[0] * share[held]
        effect[held] = coefficients[0]
    unexposed += _own_means(outcome, position)
    return Nuisances(propensity, unexposed, unexposed + effect)


def _own_means(values: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(R,) mean of the row's consumer."""
    return (np.bincount(position, values) / np.bincount(position))[position]
