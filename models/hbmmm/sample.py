"""What sampling one completed data set gives, by whatever method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """draws (chain, draw, d) with standard deviations positive; mode (d,), covariance (d, d); counts and seconds.

    method: "nuts", "collapsed_nuts" (of the variances alone), "importance" or "laplace" (a normal approximation, which
        nothing vouches for).
    k_hat, importance_ess: nan but for importance sampling; divergences_count 0 and step_size nan but for NUTS.
    e_bfmi: least energy Bayesian fraction of missing information of the chains (Betancourt 2016); nan but for NUTS.
    evaluations_count: passes over the data; gradients of NUTS, densities of importance sampling.
    """

    method: str

    draws: np.ndarray
    mode: np.ndarray
    covariance: np.ndarray
    divergences_count: int
    evaluations_count: int
    step_size: float
    seconds_mode: float
    seconds_sampling: float
    k_hat: float = float("nan")
    importance_ess: float = float("nan")
    e_bfmi: float = float("nan")
