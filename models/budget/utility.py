"""What an allocation is judged by: its gain over the current plan, averaged over all draws or over the worst of them.

    CVaR_a(g) = max_t  t - E[(t - g)+] / a       (Rockafellar and Uryasev 2000), a the share of draws

In money, concave where the gain is, never more than the mean, and 0 for the current plan: a plan with a positive one
gains on average even if the worst share of what the data allow is true. Mean and variance would count luck upwards as
risk and need an aversion in one over money. The search smooths it (softplus in place of (.)+ at a small scale), so that
it has a gradient: a weighted mean of draws' gradients.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy.special import expit


def worst_mean(gains: np.ndarray, share: float) -> float:
    """Mean of the lowest share of gains (K,), the draw at the edge counted in part."""
    ordered = np.sort(gains)
    weights = np.clip(share * len(gains) - np.arange(len(gains)), 0.0, 1.0)
    return float(weights @ ordered / weights.sum())


def soft_worst_mean(gains: np.ndarray, share: float, scale: float) -> tuple[float, np.ndarray]:
    """The smoothed one and the weights (K,) of draws in its gradient, which sum to 1; scale: money, to 0 for none."""
    count = share * len(gains)
    if share >= 1.0:
        return float(gains.mean()), np.full(len(gains), 1.0 / len(gains))

    def excess(t: float) -> float:
        return float(expit((t - gains) / scale).sum() - count)

    reach = scale * (50.0 + abs(np.log(share) - np.log1p(-share)))
    t = optimize.brentq(excess, gains.min() - reach, gains.max() + reach, xtol=1e-12 * reach)
    weights = expit((t - gains) / scale)
    value = t - scale * np.logaddexp(0.0, (t - gains) / scale).sum() / count
    return float(value), weights / weights.sum()
