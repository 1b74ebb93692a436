"""Logistic and ridge regression fitted without each fold in turn, from sums by fold.

The same estimates as fitting scikit-learn's StandardScaler with LogisticRegression(C=1) or Ridge(alpha=1) on the other
folds' rows: columns are standardised over the rows that are fitted on and the intercept is free. A penalty on columns
standardised there is a penalty on columns standardised over all rows, times the squared ratio of their spreads, so
that one pass serves all folds.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from models.effects.rows_design import SPREAD_MINIMUM, RowsDesign
from models.errors import ConvergenceError

RIDGE_PENALTY = 1.0  # on standardised columns, in rows: a prior worth one row
LOGISTIC_PRECISION = 1.0  # of a log odds per standard deviation of a column: a normal prior of sd 1
INTERCEPT_PRECISION = 1e-9  # keeps matrices invertible without moving anything
NEWTON_ROUNDS = 60
NEWTON_TOLERANCE = 1e-11  # Newton decrement as a share of the objective
SLOW = 0.25  # a decrement that falls to no less than this share asks for a new Hessian


def fold_ridge(design: RowsDesign, outcome: np.ndarray, fold: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """(F, K + 1) coefficients of ridge regressions of `outcome` on the rows of `arm` (bool) outside each fold.

    Folds are 0 to F - 1; coefficients are on the design's own standardised columns, as they are in `fold_logistic`.
    """
    folds = int(fold.max()) + 1
    parts = [np.flatnonzero(arm & (fold == k)) for k in range(folds)]
    grams = np.array([design.gram(rows=rows) for rows in parts])
    targets = np.zeros((folds, design.width))
    for k, rows in enumerate(parts):
        for at, part in design.chunks(rows):
            targets[k] += part.T @ outcome[at]
    out = np.empty((folds, design.width))
    for k in range(folds):
        gram = grams.sum(axis=0) - grams[k]
        penalised = gram + np.diag(RIDGE_PENALTY * _own_scale(gram))
        out[k] = np.linalg.solve(penalised, targets.sum(axis=0) - targets[k])
    return out


def fold_logistic(design: RowsDesign, treatment: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(F, K + 1) coefficients of penalised logistic regressions of `treatment` (bool) outside each fold.

    One fit on all rows by Newton's method gives the start and, by fold, the Hessian that steps of all folds then share.

    Raises
    ------
    ConvergenceError : the steps did not settle.
    """
    folds = int(fold.max()) + 1
    outside = np.array([fold != k for k in range(folds)], dtype=float).T
    scales = _fold_scales(design, fold)
    everywhere = np.ones((len(fold), 1))
    start = np.zeros((1, design.width))
    whole = _newton(design, treatment, everywhere, _own_scale(design.gram())[None], start)
    return _newton(design, treatment, outside, scales, np.repeat(whole, folds, axis=0))


def _newton(
    design: RowsDesign, treatment: np.ndarray, member: np.ndarray, scales: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """(M, K + 1) modes of M regressions on rows weighted by the columns of member (R, M), 0 or 1."""
    target = treatment.astype(float)[:, None]
    precision = LOGISTIC_PRECISION * scales
    b = start.copy()
    value, linear = _objective(design, b, target, member, precision)
    factors, before = None, np.full(len(b), np.inf)
    for _ in range(NEWTON_ROUNDS):
        probability = expit(linear)
        gradient = (design.matrix.T @ (member * (target - probability))).T - precision * b
        if factors is not None:
            step = np.array([cho_solve(f, g) for f, g in zip(factors, gradient, strict=True)])
            decrement = 0.5 * np.einsum("mk,mk->m", gradient, step)
        if factors is None or np.any(
            decrement > np.maximum(SLOW * before, NEWTON_TOLERANCE * (1 + np.abs(value)))
        ):
            factors = _factors(design, probability * (1 - probability), member, precision)
            step = np.array([cho_solve(f, g) for f, g in zip(factors, gradient, strict=True)])
            decrement = 0.5 * np.einsum("mk,mk->m", gradient, step)
        settled = decrement < NEWTON_TOLERANCE * (1 + np.abs(value))
        if settled.all():
            return b + step
        length = np.ones(len(b))
        while True:
            proposed, linear = _objective(design, b + length[:, None] * step, target, member, precision)
            worse = (proposed < value) & ~settled
            if not worse.any():
                break
            length[worse] /= 2
            if length.min() < 1e-6:
                raise _unsettled(design)
        b, value, before = b + length[:, None] * step, proposed, decrement
    raise _unsettled(design)


def _objective(
    design: RowsDesign, b: np.ndarray, target: np.ndarray, member: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    linear = design.matrix @ b.T
    likelihood = (member * (target * linear - np.logaddexp(0.0, linear))).sum(axis=0)
    return likelihood - 0.5 * (precision * b**2).sum(axis=1), linear


def _factors(design: RowsDesign, curvature: np.ndarray, member: np.ndarray, precision: np.ndarray) -> list:
    """Cholesky factors of the M negative Hessians; rows outside a fold are all rows less the fold's."""
    if curvature.shape[1] == 1:
        hessians = [design.gram(curvature[:, 0])]
    elif np.ptp(curvature, axis=1).max() == 0:  # all start from the same mode: one pass, by fold
        parts = np.array([design.gram(curvature[:, 0], np.flatnonzero(out == 0)) for out in member.T])
        hessians = list(parts.sum(axis=0) - parts)
    else:
        hessians = [design.gram(w * inside) for w, inside in zip(curvature.T, member.T, strict=True)]
    return [cho_factor(h + np.diag(p)) for h, p in zip(hessians, precision, strict=True)]


def _fold_scales(design: RowsDesign, fold: np.ndarray) -> np.ndarray:
    """(F, K + 1) squared spread outside each fold over that of the design."""
    folds = int(fold.max()) + 1
    sums, squares = np.zeros((folds, design.width)), np.zeros((folds, design.width))
    for k in range(folds):
        for _, part in design.chunks(np.flatnonzero(fold == k)):
            sums[k] += part.sum(axis=0)
            squares[k] += (part**2).sum(axis=0)
    counts = sums[:, :1].sum() - sums[:, :1]
    means = (sums.sum(axis=0) - sums) / counts
    return _scale((squares.sum(axis=0) - squares) / counts - means**2)


def _own_scale(gram: np.ndarray) -> np.ndarray:
    """(K + 1,) the same from the Gram matrix of the rows that are fitted on."""
    count = gram[0, 0]
    return _scale(np.diag(gram) / count - (gram[0] / count) ** 2)


def _scale(variances: np.ndarray) -> np.ndarray:
    scale = np.where(variances > SPREAD_MINIMUM, variances, 1.0)
    scale[..., 0] = INTERCEPT_PRECISION
    return scale


def _unsettled(design: RowsDesign) -> ConvergenceError:
    return ConvergenceError(
        f"Logistic regression of {len(design.matrix)} rows on {design.width} columns did not settle in "
        f"{NEWTON_ROUNDS} Newton steps. Are values finite?"
    )
