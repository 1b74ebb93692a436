"""Pareto-smoothed importance sampling (Vehtari, Simpson, Gelman, Yao and Gabry 2024): weights, k-hat, effective size.

Written out because ArviZ changed this interface between 0.x and 1.x; a test holds it to the installed ArviZ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class SmoothedWeights:
    """weights (S,) sum to 1; k_hat: shape of the weights' tail (nan where it cannot be judged, infinite where a few
    draws have all the weight); ess: Kish size."""

    weights: np.ndarray
    k_hat: float
    ess: float


def smooth_weights(log_ratios: np.ndarray) -> SmoothedWeights:
    """Replace the largest weights by expected order statistics of a fitted generalised Pareto tail."""
    log_weights = log_ratios - log_ratios.max()
    count = len(log_weights)
    tail = int(np.ceil(min(0.2 * count, 3.0 * np.sqrt(count))))
    k_hat = np.nan
    if tail >= 5:
        order = np.argsort(log_weights, kind="stable")
        chosen = order[-tail:]
        cutoff = np.exp(log_weights[order[-tail - 1]])
        excess = np.exp(log_weights[chosen]) - cutoff
        positive = excess[excess > 0]
        if (
            0 < len(positive) < 5
        ):  # of no tail is anything known; where the others underflow, it is out of all bounds
            k_hat = np.inf if cutoff == 0.0 else np.nan
        elif len(positive):
            k_hat, scale = fit_pareto_tail(positive)
            if np.isfinite(k_hat):
                probability = (np.arange(tail) + 0.5) / tail
                smooth = cutoff + _quantile(probability, k_hat, scale)
                log_weights = log_weights.copy()
                log_weights[chosen] = np.minimum(np.log(smooth), 0.0)
    weights = np.exp(log_weights)
    weights /= weights.sum()
    return SmoothedWeights(weights, float(k_hat), float(1.0 / np.sum(weights**2)))


def fit_pareto_tail(excess: np.ndarray) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto (Zhang and Stephens 2009), shape drawn towards 0.5 by ten draws' weight.

    excess: positive, ascending.
    """
    n = len(excess)
    grid = 30 + int(np.sqrt(n))
    quartile = excess[int(n / 4 + 0.5) - 1]
    theta = 1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    theta = theta / (3.0 * quartile) + 1.0 / excess[-1]
    shape = np.log1p(-theta[:, None] * excess).mean(axis=1)
    profile = n * (np.log(-theta / shape) - shape - 1.0)
    weight = 1.0 / np.exp(profile - profile[:, None]).sum(axis=1)
    mean_theta = np.sum(theta * weight / weight.sum())
    k = np.log1p(-mean_theta * excess).mean()
    scale = -k / mean_theta
    return float((n * k + 5.0) / (n + 10.0)), float(scale)


def _quantile(probability: np.ndarray, shape: float, scale: float) -> np.ndarray:
    if abs(shape) < 1e-12:
        return -scale * np.log1p(-probability)
    return scale * np.expm1(-shape * np.log1p(-probability)) / shape
