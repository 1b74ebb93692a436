"""Log-linear regression of counts by maximum likelihood, over rows in chunks.

    x_r ~ Poisson(mu_r)  or negative binomial with variance mu_r + alpha mu_r^2,   log mu_r = b' (1, h_r)

Fisher scoring with the expected information X' diag(mu / (1 + alpha mu)) X (McCullagh and Nelder 1989, section 2.5;
Cameron and Trivedi 1986, the second negative binomial), each information matrix used as long as steps shrink quickly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import gammaln, xlogy

from models.effects.rows_design import RowsDesign
from models.errors import ConvergenceError

SCORING_ROUNDS = 100
SCORING_TOLERANCE = 1e-10  # expected gain of a step, as a share of the log likelihood
SLOW = 0.25  # a gain that falls to no less than this share asks for a new information matrix


@dataclass(frozen=True, eq=False)
class CountMeans:
    """coefficients (K + 1,), intercept first, on the design's standardised columns; means (R,) mu; dispersion alpha."""

    coefficients: np.ndarray
    means: np.ndarray
    dispersion: float


def log_probability(counts: np.ndarray, means: np.ndarray, dispersion: float) -> np.ndarray:
    """(R,) log probability of counts: Poisson at dispersion 0, else negative binomial with that alpha."""
    if dispersion == 0:
        return xlogy(counts, means) - means - gammaln(counts + 1)
    size = 1 / dispersion
    return (
        gammaln(counts + size)
        - gammaln(size)
        - gammaln(counts + 1)
        - size * np.log1p(dispersion * means)
        + xlogy(counts, dispersion * means / (1 + dispersion * means))
    )


def fit_count_means(
    design: RowsDesign, counts: np.ndarray, dispersion: float, start: np.ndarray | None = None
) -> CountMeans:
    """Coefficients at a given dispersion; the design's columns must be linearly independent.

    Raises
    ------
    ConvergenceError : no maximum was found, or columns repeat each other.
    """
    b = np.zeros(design.width) if start is None else start.copy()
    if start is None:
        b[0] = np.log(counts.mean())

    def evaluate(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(over="ignore", invalid="ignore"):
            means = np.exp(design.matrix @ coefficients)
            return float(log_probability(counts, means, dispersion).sum()), means

    value, means = evaluate(b)
    factor, before = None, np.inf
    for _ in range(SCORING_ROUNDS):
        gradient = design.matrix.T @ ((counts - means) / (1 + dispersion * means))
        if factor is not None:
            step = cho_solve(factor, gradient)
            gain = 0.5 * gradient @ step
        if factor is None or gain > max(SLOW * before, SCORING_TOLERANCE * (1 + abs(value))):
            factor = _information(design, means, dispersion)
            step = cho_solve(factor, gradient)
            gain = 0.5 * gradient @ step
        if gain < SCORING_TOLERANCE * (1 + abs(value)):
            value, means = evaluate(b + step)
            return CountMeans(b + step, means, dispersion)
        length = 1.0
        while not (found := evaluate(b + length * step))[0] >= value:  # not a number is no improvement
            length /= 2
            if length < 1e-6:
                raise _unsettled(design)
        b, (value, means), before = b + length * step, found, gain
    raise _unsettled(design)


def clustered_errors(
    design: RowsDesign, counts: np.ndarray, fit: CountMeans, consumer_index: np.ndarray
) -> np.ndarray:
    """(K + 1,) standard errors of the coefficients, consumers as clusters; consumer_index (R,) any labels."""
    groups = np.unique(consumer_index, return_inverse=True)[1]
    residual = (counts - fit.means) / (1 + fit.dispersion * fit.means)
    scores = design.group_sums(residual, groups)
    spread = cho_solve(_information(design, fit.means, fit.dispersion), scores.T)
    count = len(scores)
    return np.sqrt(count / max(count - 1, 1) * (spread**2).sum(axis=1))


def _information(design: RowsDesign, means: np.ndarray, dispersion: float) -> tuple[np.ndarray, bool]:
    try:
        return cho_factor(design.gram(means / (1 + dispersion * means)))
    except LinAlgError as error:
        raise _unsettled(design) from error


def _unsettled(design: RowsDesign) -> ConvergenceError:
    return ConvergenceError(
        f"The count regression of {len(design.matrix)} rows on {design.width} columns did not converge. Columns "
        "that repeat others and values of very different size do that; leave them out, or take logarithms."
    )
