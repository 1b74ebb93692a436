"""Nuisance functions of a 0/1 treatment, each row's predicted by a model that never saw its consumer.

    e(X) = P(D = 1 | X),  g0(X) = E[Y | D = 0, X],  g1(X) = E[Y | D = 1, X]

(Chernozhukov et al. 2018, definition 3.1, with folds of consumers: all months of a consumer lie in one fold, or a
consumer's own level, in July's row, would predict August's.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.errors import OverlapError

RIDGE_PENALTY = 1.0  # on standardised columns, in rows: a prior worth one row


@dataclass(frozen=True, eq=False)
class Nuisances:
    """Out-of-fold predictions, (R,) each: propensity_raw, outcome_unexposed (g0), outcome_exposed (g1)."""

    propensity_raw: np.ndarray
    outcome_unexposed: np.ndarray
    outcome_exposed: np.ndarray


def default_propensity_learner() -> Any:
    """Logistic regression with a normal prior of sd 1 on standardised columns, as `fit_propensity` has it."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=200))


def default_outcome_learner() -> Any:
    """Ridge regression on standardised columns: means of skewed amounts need no normality, only linearity."""
    return make_pipeline(StandardScaler(), Ridge(alpha=RIDGE_PENALTY))


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
    propensity_learner: Any | None = None,
    outcome_learner: Any | None = None,
) -> Nuisances:
    """Fit e, g0 and g1 on all folds but one, predict on that one, for every fold.

    Parameters
    ----------
    features : (R, K), nothing that happens after the treatment; treatment : (R,) bool; outcome : (R,) money
    fold : (R,) from `consumer_folds`
    propensity_learner, outcome_learner : scikit-learn style (fit, predict_proba; fit, predict), cloned per fold

    Raises
    ------
    OverlapError : the rows outside a fold lack one of the arms.
    """
    classifier = propensity_learner or default_propensity_learner()
    regressor = outcome_learner or default_outcome_learner()
    propensity, unexposed, exposed = (np.empty(len(outcome)) for _ in range(3))
    for k in np.unique(fold):
        held, train = fold == k, fold != k
        arms = [train & ~treatment, train & treatment]
        if not all(arm.any() for arm in arms):
            raise OverlapError(
                f"Outside fold {k} there are {arms[1].sum()} exposed and {arms[0].sum()} unexposed rows; both arms "
                "are needed to learn from. Use fewer folds, or leave the channel out."
            )
        propensity[held] = (
            clone(classifier).fit(features[train], treatment[train]).predict_proba(features[held])[:, 1]
        )
        for arm, out in zip(arms, (unexposed, exposed), strict=True):
            out[held] = clone(regressor).fit(features[arm], outcome[arm]).predict(features[held])
    return Nuisances(propensity, unexposed, exposed)
