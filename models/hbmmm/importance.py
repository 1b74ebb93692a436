"""Adaptive importance sampling of the collapsed posterior: for data so large that the variances are near normal.

Laplace approximation of the variances (importance_mode.py), proposals adapted in stages, weights smoothed (psis.py),
fixed coefficients drawn exactly for each particle. k-hat says whether to believe it; where it does not, the caller
samples with NUTS (studies/hbmmm.md, sections 4 and 7).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import special
from threadpoolctl import threadpool_limits

from models.hbmmm.collapsed_problem import build_collapsed
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design
from models.hbmmm.importance_mode import approximate, mode_of_all
from models.hbmmm.importance_particles import Particles
from models.hbmmm.importance_proposal import Proposal, Space
from models.hbmmm.psis import SmoothedWeights, smooth_weights
from models.hbmmm.sample import Sample
from models.hbmmm.statistics import SufficientStatistics

Progress = Callable[[str, float], None]
STAGES = 9  # times config.importance_draws particles at most
WANTED_SIZE = 1000.0  # effective size at which stages end
K_HAT_MOST = (
    0.5  # Vehtari et al. 2024: below it importance sampling errs little more than its effective size says
)


def sample_importance(
    statistics: SufficientStatistics,
    design: Design,
    completed: pd.DataFrame,
    prior_sd: np.ndarray,
    config: HBMMMConfig,
    seed: int,
    progress: Progress | None = None,
) -> Sample:
    """Equally weighted draws of all global parameters, with k_hat and the importance sample's size."""
    started = time.perf_counter()
    tell = progress or (lambda text, share: None)
    rng = np.random.default_rng(seed)
    problem = build_collapsed(statistics, design, completed)
    with threadpool_limits(limits=1, user_api="blas"):
        space, mean, root = approximate(statistics, design, completed, problem, prior_sd, config, rng)
        tell("mode and curvature of a subsample", 0.1)
        particles = Particles(problem, prior_sd, config, seed)
        mean, root = mode_of_all(particles, space, mean, root)
        covariance = root @ root.T
        tell("mode of all consumers", 0.2)
        seconds_mode = time.perf_counter() - started
        sample = _adapt(particles, space, mean, covariance, config, rng, tell)
    points, fixed, smoothed = sample
    chosen = _resample(smoothed.weights, config.chains * config.draws, rng)
    variances = space.to_parameters(points)
    draws = np.concatenate([variances[chosen], fixed[chosen]], axis=1)
    return Sample(
        method="importance",
        draws=draws.reshape(config.chains, config.draws, -1),
        mode=np.concatenate([smoothed.weights @ variances, smoothed.weights @ fixed]),
        covariance=np.cov(draws.T),
        divergences_count=0,
        step_size=np.nan,
        seconds_mode=seconds_mode,
        seconds_sampling=time.perf_counter() - started - seconds_mode,
        k_hat=smoothed.k_hat,
        importance_ess=smoothed.ess,
        evaluations_count=particles.count,
    )


def _adapt(
    particles: Particles,
    space: Space,
    mean: np.ndarray,
    covariance: np.ndarray,
    config: HBMMMConfig,
    rng: np.random.Generator,
    tell: Progress,
) -> tuple[np.ndarray, np.ndarray, SmoothedWeights]:
    """Points (n, d), draws of the fixed coefficients and weights of all stages together.

    Each stage's proposal has the moments of the particles before it. Weights divide by the mixture of all proposals
    so far (adaptive multiple importance sampling, Cornuet, Marin, Mira and Robert 2012), so no particle is lost.
    """
    most = config.importance_draws * STAGES
    proposals, points, fixed, log_density = [], [], [], []
    stage, total, count = 0, 0, config.importance_draws // 2
    while total < most:
        proposal = Proposal(mean, covariance, space.folded)
        new = proposal.draw(count, rng)
        values, coefficients = np.empty(count), []
        for i, value, one in particles.evaluate(space.to_parameters(new), stage):
            values[i] = value + space.log_jacobian(new[i])
            coefficients.append(one)
            if i % max(count // 5, 1) == 0:
                tell(f"particles, stage {stage + 1}", 0.2 + 0.6 * (total + i) / most)
        proposals.append((count, proposal))
        points, fixed = [*points, new], [*fixed, np.array(coefficients)]
        log_density = [*log_density, values]
        everywhere = np.concatenate(points)
        total += count
        mixture = special.logsumexp(
            [np.log(n / total) + p.log_density(everywhere) for n, p in proposals], axis=0
        )
        smoothed = smooth_weights(np.concatenate(log_density) - mixture)
        tell(
            f"k-hat {smoothed.k_hat:.2f}, effective size {smoothed.ess:.0f} of {total}",
            0.2 + 0.6 * min(total / most, 1.0),
        )
        if smoothed.k_hat < K_HAT_MOST and smoothed.ess >= WANTED_SIZE:
            break
        mean = smoothed.weights @ everywhere
        covariance = _covariance(everywhere, smoothed, mean, covariance)
        count = _next_count(smoothed, total, config.importance_draws) if stage else config.importance_draws
        stage += 1
    return everywhere, np.concatenate(fixed), smoothed


def _next_count(smoothed: SmoothedWeights, total: int, usual: int) -> int:
    """Particles of the next stage: those lacking at the efficiency so far, within half and twice the usual number."""
    if smoothed.k_hat >= K_HAT_MOST:
        return usual
    lacking = 1.05 * WANTED_SIZE - smoothed.ess
    return int(np.clip(lacking * total / smoothed.ess, 0.5 * usual, 2.0 * usual))


def _covariance(
    points: np.ndarray, smoothed: SmoothedWeights, mean: np.ndarray, before: np.ndarray
) -> np.ndarray:
    """Weighted covariance, drawn towards the last one by as much as the sample is small for its dimension."""
    centred = points - mean
    found = (centred * smoothed.weights[:, None]).T @ centred
    d = len(mean)
    keep = smoothed.ess / (smoothed.ess + 2.0 * d)
    return keep * found + (1.0 - keep) * before


def _resample(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Systematic resampling, in random order."""
    ticks = (np.arange(count) + rng.random()) / count
    chosen = np.minimum(np.searchsorted(np.cumsum(weights), ticks), len(weights) - 1)
    return rng.permutation(chosen)
