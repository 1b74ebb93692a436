"""DIC, WAIC and exact LOO of the non-hierarchical Bayes model (market_bayes.py) on the rows it was fitted on.

Rows are independent given a market's coefficients and noise, so that a consumer's log-likelihood is the sum over its
rows: "conditional" has rows as points, "marginal" has consumers, and the two DICs are one number. LOO is in closed
form: with H = X_g L^-1 X_g' and r the residuals of the left-out rows g at the posterior mean, they are Student t given
the rest with 2 (a - |g| / 2) degrees of freedom, mean y - (I - H)^-1 r and squared scale
    (b_n - r'(I - H)^-1 r / 2) / (a - |g| / 2) (I - H)^-1.
Numbers are of the outcome in its own unit, so that they compare with those of hbmmm_information. The market's outcome
mean and sd, by which the priors are scaled, count as given.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from models.baselines.base import Rows
from models.baselines.market_bayes import FittedMarketBayes
from models.errors import PanelError
from models.evaluation.information import (
    InformationCriterion,
    PointwiseDensities,
    conditional_log_likelihood,
    pooled_criterion,
)

DRAWS = 400
_VARIANT = "exact, {} left out"


def market_bayes_information(
    fitted: FittedMarketBayes, rows: Rows, draws_count: int = DRAWS, seed: int = 0
) -> tuple[InformationCriterion, ...]:
    """(conditional DIC, WAIC and LOO, marginal DIC, WAIC and LOO); `rows` are the training rows.

    The deviance "at the posterior mean" takes coefficients at their means and the noise at the mean of its log.
    Raises PanelError where a row's market has no posterior: such rows have no likelihood.
    """
    unknown = sorted(set(map(str, rows.market_ids)) - set(fitted.posteriors))
    if unknown:
        raise PanelError(f"markets {unknown[:3]} have no posterior; leave out their rows or lower min_rows.")
    design = fitted.design_map.matrix(rows)
    consumer = pd.factorize(rows.consumer_ids, sort=True)[0]
    log_likelihoods, at_mean = np.empty((draws_count, len(rows))), np.empty(len(rows))
    loo_row, loo_consumer = np.empty(len(rows)), np.zeros(consumer.max() + 1)
    rng = np.random.default_rng(seed)
    for market, (mean, inverse, shape, scale, level, spread) in fitted.posteriors.items():
        mine = np.flatnonzero(rows.market_ids == market)
        if not len(mine):
            continue
        x, y = design[mine], (rows.outcome[mine] - level) / spread
        variance = scale / rng.gamma(shape, size=draws_count)
        half = np.linalg.cholesky(inverse)
        coefficients = mean + np.sqrt(variance)[:, None] * (
            rng.standard_normal((draws_count, len(mean))) @ half.T
        )
        drawn = conditional_log_likelihood(y, coefficients @ x.T, np.sqrt(variance)[:, None])
        log_likelihoods[:, mine] = drawn - np.log(spread)
        log_noise = 0.5 * (np.log(scale) - special.digamma(shape))
        at_mean[mine] = conditional_log_likelihood(y, x @ mean, np.exp(log_noise)) - np.log(spread)
        residual = y - x @ mean
        left = 1.0 - np.einsum("np,pq,nq->n", x, inverse, x)
        loo_row[mine] = log_left_out(residual**2 / left, np.log(left), 1, shape, scale) - np.log(spread)
        for one in np.unique(consumer[mine]):
            at = np.flatnonzero(consumer[mine] == one)
            block = np.eye(len(at)) - x[at] @ inverse @ x[at].T
            square = residual[at] @ np.linalg.solve(block, residual[at])
            density = log_left_out(square, np.linalg.slogdet(block)[1], len(at), shape, scale)
            loo_consumer[one] += density - len(at) * np.log(spread)
    by_row, by_consumer = PointwiseDensities(len(rows)), PointwiseDensities(len(loo_consumer))
    for one in log_likelihoods:
        by_row.add(one)
        by_consumer.add(np.bincount(consumer, one))
    return (
        by_row.dic(at_mean.sum(), "conditional"),
        by_row.waic("conditional"),
        pooled_criterion("LOO", "conditional", _VARIANT.format("one row"), loo_row),
        by_consumer.dic(at_mean.sum(), "marginal"),
        by_consumer.waic("marginal"),
        pooled_criterion("LOO", "marginal", _VARIANT.format("one consumer"), loo_consumer),
    )


def log_left_out(
    square: float | np.ndarray, log_det: float | np.ndarray, size: int, shape: float, scale: float
) -> float | np.ndarray:
    """Log density of `size` left-out rows given the rest: square r'(I - H)^-1 r, log_det log|I - H|, a and b_n."""
    rest = scale - 0.5 * square
    density = special.gammaln(shape) - special.gammaln(shape - 0.5 * size)
    density += 0.5 * log_det - 0.5 * size * np.log(2.0 * np.pi * rest)
    return density - shape * np.log1p(0.5 * square / rest)
