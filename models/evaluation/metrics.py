"""Scores of predictions against what happened, as functions of arrays.

Point scores take means; the others a predictive distribution: normal, or Student t where degrees of freedom are
given. CRPS and the log score judge the whole distribution: CRPS in the unit of the outcome, smaller is better (Gneiting
and Raftery 2007, eq. 20-21; the t form: Jordan, Krüger and Lerch 2019, appendix A); the log score is the mean log
predictive density, larger is better. `sd` is always the standard deviation, also of a t.
"""

from __future__ import annotations

import numpy as np
from scipy import special, stats


def rmse(outcome: np.ndarray, mean: np.ndarray) -> float:
    """Root mean squared error, unit of the outcome; outcome, mean (R,)."""
    outcome, mean = _alike(outcome, mean)
    return float(np.sqrt(np.mean((outcome - mean) ** 2)))


def mae(outcome: np.ndarray, mean: np.ndarray) -> float:
    """Mean absolute error, unit of the outcome."""
    outcome, mean = _alike(outcome, mean)
    return float(np.mean(np.abs(outcome - mean)))


def r_squared(outcome: np.ndarray, mean: np.ndarray) -> float:
    """1 - squared error / squared deviation from the mean of the scored outcomes; below 0 where the predictions are
    worse than that mean, nan where the outcome does not vary."""
    outcome, mean = _alike(outcome, mean)
    total = float(np.sum((outcome - outcome.mean()) ** 2))
    return 1.0 - float(np.sum((outcome - mean) ** 2)) / total if total > 0 else float("nan")


def crps_normal(outcome: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """CRPS of N(mean, sd^2), (R,): sd (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)); where sd is 0, |outcome - mean|."""
    outcome, mean, sd = _alike(outcome, mean, sd)
    z = _standardised(outcome, mean, sd)
    score = z * (2.0 * stats.norm.cdf(z) - 1.0) + 2.0 * stats.norm.pdf(z) - 1.0 / np.sqrt(np.pi)
    return np.where(sd > 0, sd * score, np.abs(outcome - mean))


def crps_student_t(
    outcome: np.ndarray, mean: np.ndarray, sd: np.ndarray, degrees_of_freedom: np.ndarray
) -> np.ndarray:
    """CRPS of a Student t with this mean, standard deviation and degrees of freedom n > 2 (inf: normal), (R,).

    With scale s = sd sqrt((n - 2) / n) and z = (y - mean) / s:
    s (z (2 F(z) - 1) + 2 f(z) (n + z^2) / (n - 1) - 2 sqrt(n) / (n - 1) B(1/2, n - 1/2) / B(1/2, n/2)^2).
    """
    outcome, mean, sd, n = _alike(outcome, mean, sd, degrees_of_freedom)
    finite = np.isfinite(n)
    out = crps_normal(outcome, mean, sd)
    if not finite.any():
        return out
    y, m, n = outcome[finite], mean[finite], n[finite]
    scale = sd[finite] * np.sqrt((n - 2.0) / n)
    z = _standardised(y, m, scale)
    score = z * (2.0 * stats.t.cdf(z, n) - 1.0) + 2.0 * stats.t.pdf(z, n) * (n + z**2) / (n - 1.0)
    log_beta = special.betaln(0.5, n - 0.5) - 2.0 * special.betaln(0.5, 0.5 * n)
    score -= 2.0 * np.sqrt(n) / (n - 1.0) * np.exp(log_beta)
    out[finite] = np.where(scale > 0, scale * score, np.abs(y - m))
    return out


def interval(
    mean: np.ndarray, sd: np.ndarray, level: float, degrees_of_freedom: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Central predictive interval of this level, (R,) lower and (R,) upper."""
    if not 0 < level < 1:
        raise ValueError(f"the interval level is {level}; it must lie between 0 and 1.")
    mean, sd = _alike(mean, sd)
    half = np.full(len(mean), stats.norm.ppf(0.5 + 0.5 * level))
    if degrees_of_freedom is not None:
        n = np.asarray(degrees_of_freedom, dtype=float)
        finite = np.isfinite(n)
        half[finite] = stats.t.ppf(0.5 + 0.5 * level, n[finite]) * np.sqrt((n[finite] - 2.0) / n[finite])
    return mean - half * sd, mean + half * sd


def interval_coverage(outcome: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Share of outcomes inside [lower, upper]."""
    outcome, lower, upper = _alike(outcome, lower, upper)
    return float(np.mean((lower <= outcome) & (outcome <= upper)))


def interval_width(lower: np.ndarray, upper: np.ndarray) -> float:
    """Mean width, unit of the outcome."""
    lower, upper = _alike(lower, upper)
    return float(np.mean(upper - lower))


def log_density(
    outcome: np.ndarray, mean: np.ndarray, sd: np.ndarray, degrees_of_freedom: np.ndarray | None = None
) -> np.ndarray:
    """Log predictive density of each outcome, (R,); its mean is the log score. Raises ValueError where sd is 0."""
    outcome, mean, sd = _alike(outcome, mean, sd)
    if not (sd > 0).all():
        raise ValueError("a predictive sd is 0: the log score of a point prediction does not exist.")
    out = stats.norm.logpdf(outcome, mean, sd)
    if degrees_of_freedom is not None:
        n = np.asarray(degrees_of_freedom, dtype=float)
        k = np.isfinite(n)
        scale = sd[k] * np.sqrt((n[k] - 2.0) / n[k])
        out[k] = stats.t.logpdf(outcome[k], n[k], mean[k], scale)
    return out


def log_score(
    outcome: np.ndarray, mean: np.ndarray, sd: np.ndarray, degrees_of_freedom: np.ndarray | None = None
) -> float:
    """Mean log predictive density, in nats; larger is better."""
    return float(np.mean(log_density(outcome, mean, sd, degrees_of_freedom)))


def _standardised(outcome: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    return (outcome - mean) / np.where(sd > 0, sd, 1.0)


def _alike(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """All as float arrays of one shape (R,), R >= 1; ValueError otherwise."""
    out = tuple(np.asarray(a, dtype=float) for a in arrays)
    shapes = {a.shape for a in out}
    if len(shapes) != 1 or out[0].ndim != 1 or not len(out[0]):
        raise ValueError(f"arrays of one common shape (rows,) with a row or more are needed, got {shapes}.")
    return out
