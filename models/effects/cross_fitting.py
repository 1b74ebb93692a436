"""Nuisance functions of a 0/1 treatment, each row's predicted by a model that never saw its consumer.

    e(X) = P(D = 1 | X),  g0(X) = E[Y | D = 0, X],  g1(X) = E[Y | D = 1, X]

(Chernozhukov et al. 2018, definition 3.1, with folds of consumers: all months of a consumer lie in one fold, or a
consumer's own level, in July's row, would predict August's.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import clone

from models.effects.fold_regressions import fold_logistic, fold_ridge
from models.effects.rows_design import RowsDesign
from models.errors import OverlapError


@dataclass(frozen=True, eq=False)
class Nuisances:
    """Out-of-fold predictions, (R,) each: propensity_raw, outcome_unexposed (g0), outcome_exposed (g1)."""

    propensity_raw: np.ndarray
    outcome_unexposed: np.ndarray
    outcome_exposed: np.ndarray


def consumer_folds(consumer_index: np.ndarray, folds_count: int, rng: np.random.Generator) -> np.ndarray:
    """(R,) fold, 0 to folds_count - 1, the same for all rows of a consumer; sizes differ by one consumer at most.

    Raises
    ------
    ValueError : fewer than 2 folds, or more folds than consumers.
    """
    consumers, position = np.unique(consumer_index, return_inverse=True)
    if not 2 <= folds_count <= len(consumers):
        raise ValueError(
            f"folds_count is {folds_count} for {len(consumers)} consumers; give 2 to {len(consumers)} folds."
        )
    return rng.permutation(np.arange(len(consumers)) % folds_count)[position]


def cross_fit(
    features: np.ndarray,
    treatment: np.ndarray,
    outcome: np.ndarray,
    fold: np.ndarray,
    *,
    columns: np.ndarray | None = None,
    propensity_learner: Any | None = None,
    outcome_learner: Any | None = None,
) -> Nuisances:
    """Fit e, g0 and g1 on all folds but one, predict on that one, for every fold.

    Parameters
    ----------
    features : (R, K), nothing that happens after the treatment; treatment : (R,) bool; outcome : (R,) money
    columns : positions of the features to use, all by default
    fold : (R,) from `consumer_folds`
    propensity_learner, outcome_learner : scikit-learn style (fit, predict_proba; fit, predict), cloned per fold. By
        default logistic regression with a normal prior of sd 1 on standardised columns (as `fit_propensity` has it)
        and ridge regression (means of skewed amounts need no normality, only linearity), see `fold_regressions`

    Raises
    ------
    OverlapError : the rows outside a fold lack one of the arms.
    """
    fold = np.unique(fold, return_inverse=True)[1]
    for k in range(int(fold.max()) + 1):
        exposed, count = treatment[fold != k].sum(), (fold != k).sum()
        if exposed in (0, count):
            raise OverlapError(
                f"Outside fold {k} there are {exposed} exposed and {count - exposed} unexposed rows; both arms "
                "are needed to learn from. Use fewer folds, or leave the channel out."
            )
    columns = np.arange(features.shape[1]) if columns is None else columns
    design = RowsDesign.of(features, columns)
    if propensity_learner is None:
        propensity = expit(_held_out(design, fold, fold_logistic(design, treatment, fold)))
    else:
        propensity = np.empty(len(outcome))
        for train, held in _splits(fold):
            fitted = clone(propensity_learner).fit(features[train][:, columns], treatment[train])
            propensity[held] = fitted.predict_proba(features[held][:, columns])[:, 1]
    arms = []
    for arm in (~treatment, treatment):
        if outcome_learner is None:
            arms.append(_held_out(design, fold, fold_ridge(design, outcome, fold, arm)))
            continue
        predicted = np.empty(len(outcome))
        for train, held in _splits(fold):
            rows = train & arm
            fitted = clone(outcome_learner).fit(features[rows][:, columns], outcome[rows])
            predicted[held] = fitted.predict(features[held][:, columns])
        arms.append(predicted)
    return Nuisances(propensity, *arms)


def _splits(fold: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for k in range(int(fold.max()) + 1):
        yield fold != k, fold == k


def _held_out(design: RowsDesign, fold: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """(R,) linear predictions of each row by the (F, K + 1) coefficients of its own fold."""
    out = np.empty(len(fold))
    for at, part in design.chunks():
        out[at] = np.einsum("rk,rk->r", part, coefficients[fold[at]])
    return out
