"""Draws of the normal approximation at the posterior mode: a fit in the time the mode takes.

Not a posterior anybody vouches for: standard deviations near zero are not normal. It serves refits by the hundred
(refit.py), whose fixed coefficients are near normal given the variances, beside one full fit that it is compared with.
"""

from __future__ import annotations

import time

import numpy as np
from threadpoolctl import threadpool_limits

from models.hbmmm.config import HBMMMConfig
from models.hbmmm.laplace import find_mode
from models.hbmmm.problem import Problem, log_posterior, prior_table
from models.hbmmm.sample import Sample


def sample_normal_approximation(
    problem: Problem, config: HBMMMConfig, seed: int, start: np.ndarray | None = None
) -> Sample:
    """Independent draws (chains, draws, d) from N(mode, inverse Hessian), standard deviations folded at zero.

    start (d,): where the search for the mode begins. Errors as in find_mode.
    """
    started = time.perf_counter()
    _, prior_sd = prior_table(problem.design, len(problem.strata), config)
    evaluations = 0

    def density(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal evaluations
        evaluations += 1
        return log_posterior(problem, parameters, prior_sd, config.prior_slope_correlation)

    with threadpool_limits(limits=1):
        laplace = find_mode(problem, prior_sd, density, start)
        seconds_mode = time.perf_counter() - started
        root = np.linalg.cholesky(laplace.covariance)
        normal = np.random.default_rng(seed).standard_normal((config.chains, config.draws, len(root)))
        draws = laplace.mode + normal @ root.T
    return Sample(
        method="laplace",
        draws=problem.positive(draws),
        mode=laplace.mode,
        covariance=laplace.covariance,
        divergences_count=0,
        evaluations_count=evaluations,
        step_size=np.nan,
        seconds_mode=seconds_mode,
        seconds_sampling=time.perf_counter() - started - seconds_mode,
    )
