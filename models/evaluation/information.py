"""Information criteria of linear Gaussian hierarchical models: DIC, WAIC and exact leave-one-out.

    y_i = X_i b_i + e_i,  b_i ~ N(m_i, V),  e_it ~ N(0, s2)

Two questions that look alike and are not:
    conditional   how well is one more row of a consumer already known predicted? Points are rows, b_i is a parameter
    marginal      how well is a new consumer predicted? Points are consumers (all rows of one at once), b_i is
                  integrated out
Conditional and marginal numbers must never be mixed: not compared, not subtracted, not put into one column. On one fit
of 50,000 consumers they differed by 108,000 (studies/hbmmm.md section 6) without either being wrong. Every result
carries its level, and `difference` refuses to mix them. Marginal numbers choose the hierarchy; the conditional exact
LOO speaks for known consumers; DIC is here because the paper's Table 7 prints one, and says which it is.

`value` is on the deviance scale, smaller is better, comparable for one set of outcomes on one scale only.
Sources: Spiegelhalter et al. 2002 (DIC); Watanabe 2010, Gelman, Hwang and Vehtari 2014 (WAIC); Merkle, Furr and
Rabe-Hesketh 2019 (conditional against marginal); Sundararajan and Keerthi 2001 (exact LOO from the inverse covariance).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import linalg

Level = Literal["conditional", "marginal"]
LEVELS = ("conditional", "marginal")
_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class InformationCriterion:
    """One number with its type.

    criterion: "DIC", "WAIC" or "LOO"; level: "conditional" or "marginal" (module docstring); variant: formula used.
    value: -2 x estimated log predictive density; effective_parameters: its penalty (nan for LOO, which has none).
    standard_error: of value, over points (nan for DIC). pointwise (points,): contributions to value, empty for DIC.
    unreliable_share: share of points whose WAIC penalty exceeds 0.4, where WAIC fails (nan otherwise).
    """

    criterion: str
    level: Level
    variant: str
    value: float
    points_count: int
    effective_parameters: float = float("nan")
    standard_error: float = float("nan")
    unreliable_share: float = float("nan")
    pointwise: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        _check_level(self.level)

    @property
    def name(self) -> str:
        """What tables print, for instance "conditional DIC"."""
        return f"{self.level} {self.criterion}"


class PointwiseDensities:
    """Log-likelihoods of the points, one draw after the other; what DIC and WAIC need of them, (points,) each."""

    def __init__(self, points_count: int) -> None:
        self.draws_count = 0
        self._log_sum = np.full(points_count, -np.inf)
        self._mean, self._squares = np.zeros(points_count), np.zeros(points_count)

    def add(self, log_likelihood: np.ndarray) -> None:
        """One draw, (points,)."""
        values = np.asarray(log_likelihood, dtype=float)
        if values.shape != self._mean.shape or not np.isfinite(values).all():
            raise ValueError(
                f"finite log-likelihoods of {self._mean.shape} points are needed, got {values.shape}."
            )
        self.draws_count += 1
        self._log_sum = np.logaddexp(self._log_sum, values)
        step = values - self._mean
        self._mean += step / self.draws_count
        self._squares += step * (values - self._mean)

    def dic(self, at_posterior_mean: float, level: Level) -> InformationCriterion:
        """See the function `dic`."""
        mean_deviance = -2.0 * float(self._mean.sum())
        penalty = mean_deviance + 2.0 * float(at_posterior_mean)
        variant = "mean deviance + pD, pD from the posterior mean"
        return InformationCriterion("DIC", level, variant, mean_deviance + penalty, len(self._mean), penalty)

    def waic(self, level: Level) -> InformationCriterion:
        """See the function `waic`."""
        if self.draws_count < 2:
            raise ValueError(f"WAIC needs 2 or more draws, got {self.draws_count}.")
        penalty = self._squares / (self.draws_count - 1)
        density = self._log_sum - np.log(self.draws_count) - penalty
        return pooled_criterion(
            "WAIC", level, "variance penalty", density,
            effective_parameters=float(penalty.sum()), unreliable_share=float((penalty > 0.4).mean()),
        )  # fmt: skip


def dic(log_likelihood: np.ndarray, at_posterior_mean: float, level: Level) -> InformationCriterion:
    """DIC = mean deviance + pD, pD = mean deviance - deviance at the posterior mean (not the variance form).

    log_likelihood: (draws, points). at_posterior_mean: total log-likelihood with every parameter of that level at its
    posterior mean: conditional ones include b_i, marginal ones do not.
    """
    return _gathered(log_likelihood).dic(at_posterior_mean, level)


def waic(log_likelihood: np.ndarray, level: Level) -> InformationCriterion:
    """WAIC from pointwise log-likelihoods (draws, points), at least 2 draws; the penalty is the variance over draws."""
    return _gathered(log_likelihood).waic(level)


def exact_loo(
    outcome: np.ndarray,
    design: np.ndarray,
    prior_covariance: np.ndarray,
    noise_variance: float | np.ndarray,
    prior_mean: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> InformationCriterion:
    """Leave-one-out in closed form for y = X b + e, b ~ N(m, V), e ~ N(0, D): what refitting without each would give.

    outcome (n,); design (n, p): all coefficients of all consumers, or the block of one; prior_covariance (p, p), may
    be singular; noise_variance: number or (n,); prior_mean (p,), 0 by default. Variances are taken as known.

    groups None: one row is left out, the consumer's other rows stay: conditional. groups (n,): all rows of a group
    are left out together; by consumer that is the marginal LOO. With Q the inverse covariance of y, the residual of
    the left-out g given the rest is Q_gg^-1 (Q (y - X m))_g, its covariance Q_gg^-1.
    """
    solved, root, inverse_noise = _solve(outcome, design, prior_covariance, noise_variance, prior_mean)
    weighted = design * inverse_noise[:, None]
    if groups is None:
        diagonal = inverse_noise - np.einsum("np,pq,nq->n", weighted, root, weighted)
        density = 0.5 * (np.log(diagonal) - solved**2 / diagonal - _LOG_2PI)
        return pooled_criterion("LOO", "conditional", "exact, one row left out", density)
    densities = []
    for group in np.unique(groups):
        at = np.flatnonzero(groups == group)
        block = np.diag(inverse_noise[at]) - weighted[at] @ root @ weighted[at].T
        lower = linalg.cholesky(block, lower=True)
        half = linalg.solve_triangular(lower, solved[at], lower=True)
        densities.append(np.log(np.diag(lower)).sum() - 0.5 * (half @ half + len(at) * _LOG_2PI))
    return pooled_criterion("LOO", "marginal", "exact, all rows of a group left out", np.array(densities))


def pooled_criterion(
    criterion: str, level: Level, variant: str, densities: np.ndarray, **numbers: float
) -> InformationCriterion:
    """A criterion from estimated log predictive densities (points,) of every point."""
    pointwise = -2.0 * densities
    count = len(pointwise)
    error = float(np.sqrt(count) * pointwise.std(ddof=1)) if count > 1 else float("nan")
    return InformationCriterion(
        criterion,
        level,
        variant,
        float(pointwise.sum()),
        count,
        standard_error=error,
        pointwise=pointwise,
        **numbers,
    )


def conditional_log_likelihood(
    outcome: np.ndarray, expected: np.ndarray, noise_sd: float | np.ndarray
) -> np.ndarray:
    """log N(y_it | x_it'b_i, s2) of every row, (draws, rows): outcome (R,), expected (S, R) with drawn consumer effects
    in it, noise_sd a number, (S, 1) or (S, R)."""
    z = (np.asarray(outcome) - expected) / noise_sd
    return -0.5 * (z**2 + _LOG_2PI) - np.log(noise_sd)


def marginal_log_likelihood(
    residual: np.ndarray,
    design: np.ndarray,
    consumer_index: np.ndarray,
    prior_covariance: np.ndarray,
    noise_variance: float | np.ndarray,
) -> np.ndarray:
    """log N(y_i | X_i m_i, X_i V X_i' + s2 I) of every consumer with b_i integrated out, (N,), for one draw.

    residual (R,) = y - X m; design (R, k) the columns with consumer effects; consumer_index (R,) in 0..N-1;
    prior_covariance V (k, k); noise_variance: number or (R,).
    """
    consumers, k = int(consumer_index.max()) + 1, design.shape[1]
    precision = np.broadcast_to(1.0 / np.asarray(noise_variance, dtype=float), residual.shape)
    factor = _half(prior_covariance)
    x = design @ factor  # b = m + factor g, g ~ N(0, I)
    inner = np.tile(np.eye(k), (consumers, 1, 1))
    np.add.at(inner, consumer_index, precision[:, None, None] * x[:, :, None] * x[:, None, :])
    score = np.zeros((consumers, k))
    np.add.at(score, consumer_index, (precision * residual)[:, None] * x)
    lower = np.linalg.cholesky(inner)
    half = np.linalg.solve(lower, score[:, :, None])[:, :, 0]
    square = np.bincount(consumer_index, precision * residual**2, consumers) - (half**2).sum(axis=1)
    log_det = 2.0 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    log_det -= np.bincount(consumer_index, np.log(precision), consumers)
    rows = np.bincount(consumer_index, minlength=consumers)
    return -0.5 * (square + log_det + rows * _LOG_2PI)


def difference(first: InformationCriterion, second: InformationCriterion) -> tuple[float, float]:
    """first - second and its standard error over shared points (nan for DIC); below 0 favours the first.

    Raises ValueError where criterion or level differ, or the numbers of points: such numbers must not be subtracted.
    """
    if (first.criterion, first.level) != (second.criterion, second.level):
        raise ValueError(
            f"{first.name} and {second.name} answer different questions and must not be subtracted; "
            "compute the same one for both models."
        )
    if first.points_count != second.points_count:
        raise ValueError(
            f"{first.name} over {first.points_count} points and over {second.points_count} are of different data."
        )
    gap = first.pointwise - second.pointwise
    error = float(np.sqrt(len(gap)) * gap.std(ddof=1)) if len(gap) > 1 else float("nan")
    return first.value - second.value, error


def _solve(
    outcome: np.ndarray,
    design: np.ndarray,
    prior_covariance: np.ndarray,
    noise_variance: float | np.ndarray,
    prior_mean: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Q (y - X m), and R, 1/D with Q = D^-1 - D^-1 X R X' D^-1 (Woodbury, without inverting V)."""
    noise = np.broadcast_to(np.asarray(noise_variance, dtype=float), outcome.shape)
    if not (np.isfinite(noise) & (noise > 0)).all():
        raise ValueError("noise variances must be positive and finite.")
    inverse_noise = 1.0 / noise
    factor = _half(prior_covariance)
    x = design @ factor
    inner = np.eye(factor.shape[1]) + (x * inverse_noise[:, None]).T @ x
    root = factor @ linalg.cho_solve(linalg.cho_factor(inner), factor.T)
    residual = outcome if prior_mean is None else outcome - design @ prior_mean
    scaled = residual * inverse_noise
    solved = scaled - inverse_noise * (design @ (root @ (design.T @ scaled)))
    return solved, root, inverse_noise


def _half(covariance: np.ndarray) -> np.ndarray:
    """F with F F' = covariance, also where it is singular; ValueError where it is no covariance."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, dtype=float))
    if values.min() < -1e-10 * max(values.max(), 1.0):
        raise ValueError(f"the prior covariance has a negative eigenvalue ({values.min():.3g}).")
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _gathered(log_likelihood: np.ndarray) -> PointwiseDensities:
    values = np.asarray(log_likelihood, dtype=float)
    if values.ndim != 2:
        raise ValueError(f"log-likelihoods have shape {values.shape}; (draws, points) is needed.")
    gathered = PointwiseDensities(values.shape[1])
    for draw in values:
        gathered.add(draw)
    return gathered


def _check_level(level: str) -> None:
    if level not in LEVELS:
        raise ValueError(f"level is {level!r}; say {' or '.join(LEVELS)}, they are different numbers.")
