"""Adaptive importance sampling of the collapsed posterior: for data so large that the variances are near normal.

Laplace approximation of the variances (mode and curvature on a subsample, settled on all data), proposals adapted in
stages, weights smoothed (psis.py), fixed coefficients drawn exactly for each particle. k-hat says whether to believe
it; where it does not, the caller samples with NUTS (studies/hbmmm.md, sections 4 and 7).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from scipy import linalg, optimize, special
from threadpoolctl import threadpool_limits

from models.errors import ConvergenceError
from models.hbmmm.collapsed import CollapsedPosterior
from models.hbmmm.collapsed_problem import CollapsedProblem, build_collapsed
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design
from models.hbmmm.importance_proposal import Density, Proposal, Space
from models.hbmmm.psis import SmoothedWeights, smooth_weights
from models.hbmmm.sample import Sample
from models.hbmmm.statistics import SufficientStatistics

Progress = Callable[[str, float], None]
SUBSAMPLES = (20_000, 60_000)  # consumers that mode and curvature are searched on before all of them
SMALLEST = 1e-3  # of a standard deviation, scaled, in the search for the mode
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
        space, mean, root = _approximate(statistics, design, completed, problem, prior_sd, config, rng)
        tell("mode and curvature of a subsample", 0.1)
        particles = _Particles(problem, prior_sd, config, seed)
        mean, root = _settle(space.density(particles.density), mean, root, space.folded)
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
    particles: _Particles,
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


class _Particles:
    """Evaluates the collapsed posterior at many points, on as many threads as the fit may use processes."""

    def __init__(
        self, problem: CollapsedProblem, prior_sd: np.ndarray, config: HBMMMConfig, seed: int
    ) -> None:
        concentration = config.prior_slope_correlation
        self.workers = [
            CollapsedPosterior(problem, prior_sd, concentration)
            for _ in range(max(config.worker_processes, 1))
        ]
        self.seed = seed
        self.count = 0

    def density(self, points: np.ndarray) -> np.ndarray:
        """Log densities (n,) of points (n, d)."""
        out = np.empty(len(points))
        for i, value, _ in self._all(points, lambda i: None):
            out[i] = value
        return out

    def value_and_gradient(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density of one point (d,), and its gradient, on one thread."""
        return self.workers[0].value_and_gradient(point)

    def evaluate(self, points: np.ndarray, stage: int) -> Iterator[tuple[int, float, np.ndarray]]:
        """(index, log density, draw of the fixed coefficients) of each point, in any order; seeded by index."""
        return self._all(points, lambda i: np.random.default_rng([self.seed, 1 + stage, 1 + i]))

    def _all(self, points: np.ndarray, generator: Callable) -> Iterator:
        self.count += len(points)
        free = list(self.workers)

        def one(i: int) -> tuple[int, float, np.ndarray]:
            worker = free.pop()  # as many workers as threads: one is always free
            try:
                value, fixed = worker.evaluate(points[i], generator(i))
            except (
                np.linalg.LinAlgError,
                FloatingPointError,
                ValueError,
            ):  # ValueError: SciPy's word for NaN
                value, fixed = -np.inf, np.zeros(len(worker.fixed_sd))
            finally:
                free.append(worker)
            return i, value if np.isfinite(value) else -np.inf, fixed

        with ThreadPoolExecutor(len(self.workers)) as pool:
            yield from pool.map(one, range(len(points)))


def scale_positions(problem: CollapsedProblem) -> np.ndarray:
    """Positions of the standard deviations in the variance parameters."""
    s, k = len(problem.strata), problem.slopes_count + 1
    market = s + k + problem.correlations_count
    return np.concatenate([np.arange(s, s + k), np.arange(market, market + problem.market_scales_count)])


def _approximate(
    statistics: SufficientStatistics,
    design: Design,
    completed: pd.DataFrame,
    problem: CollapsedProblem,
    prior_sd: np.ndarray,
    config: HBMMMConfig,
    rng: np.random.Generator,
) -> tuple[Space, np.ndarray, np.ndarray]:
    """Coordinates, mode and root of the covariance of the variances, on ever larger samples of consumers.

    Spreads are those expected for all consumers: what a sample says about them grows with their number, about markets
    it hardly does.
    """
    n = len(statistics.consumer_ids)
    x = _start(problem, prior_sd)
    for size in SUBSAMPLES:
        chosen = np.sort(rng.choice(n, size, replace=False)) if size < n else np.arange(n)
        part = problem
        if size < n:
            part = build_collapsed(statistics.subset(chosen), design, completed.iloc[chosen])
        if part.strata != problem.strata:
            raise ConvergenceError(
                f"a sample of {len(chosen)} of {n} consumers has the noise strata {list(part.strata)}, all have "
                f"{list(problem.strata)}: importance sampling needs each in numbers. Fit with inference='nuts'."
            )
        particles = _Particles(part, prior_sd, config, 0)
        density = particles.density
        x, spread = _climb(particles, part, x)
        if size >= n:
            break
    shrink = np.ones(len(x))
    shrink[: len(x) - part.market_scales_count] = np.sqrt(min(len(chosen) / n, 1.0))
    space = Space.around(x, spread * shrink, scale_positions(problem))
    inner, mean = space.density(density), space.to_space(x)
    mean, root = _settle(inner, mean, np.diag(space.spread / shrink), space.folded)
    return space, mean, shrink[:, None] * _curvature_root(inner, mean, root, space.folded)


def _start(problem: CollapsedProblem, prior_sd: np.ndarray) -> np.ndarray:
    """Noise from the rows' spread within consumers, standard deviations at a fraction of their prior scale."""
    x = 0.3 * prior_sd[: problem.dimension]
    rows = np.maximum(
        problem.within_rows, 1.0
    )  # fewer where most of a stratum has no row of its own (two_part.py)
    x[: len(problem.strata)] = 0.5 * np.log(np.maximum(problem.within_square, 1e-9) / rows)
    first = len(problem.strata) + problem.slopes_count + 1
    x[first : first + problem.correlations_count] = 0.0
    return x


def _climb(particles: _Particles, problem: CollapsedProblem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L-BFGS from x with the standard deviations on log scale; (mode, rough sds)."""
    positive = scale_positions(problem)
    scale = np.full(len(x), 0.3)
    s = len(problem.strata)
    scale[:s] = 1.0 / np.sqrt(2.0 * np.maximum(problem.within_rows, 1.0))
    scale[s] = 1.0 / np.sqrt(2.0 * problem.mean.count.sum())
    scale[-problem.market_scales_count or len(x) :] = 1.0 / np.sqrt(2.0 * problem.markets_count)
    low, high = np.full(len(x), -2.0), np.full(len(x), 2.0)  # correlations up to .96
    low[:s], high[:s] = x[:s] - 5.0, x[:s] + 5.0
    low[positive], high[positive] = np.log(SMALLEST), 3.0
    start = x.copy()
    start[positive] = np.log(np.maximum(x[positive], 2.0 * SMALLEST))

    def to_parameters(u: np.ndarray) -> np.ndarray:
        points = u * scale
        points[..., positive] = np.exp(points[..., positive])
        return points

    def log_scale_density(u: np.ndarray) -> np.ndarray:
        """With the Jacobian of the logarithms: without it the density is flat towards a standard deviation of zero."""
        points = to_parameters(u)
        return particles.density(points) + np.log(points[:, positive]).sum(axis=1)

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        point = to_parameters(u)
        value, gradient = particles.value_and_gradient(point)
        gradient[positive] = gradient[positive] * point[positive] + 1.0
        return -value - np.log(point[positive]).sum(), -gradient * scale

    found = optimize.minimize(
        objective,
        start / scale,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low / scale, high / scale, strict=True)),
        options={"maxiter": 150, "gtol": 0.05},
    )
    if not np.isfinite(found.fun):
        raise ConvergenceError(
            "the mode of the variances was not found: their density is not finite. Look for columns that repeat "
            "each other or for amounts of absurd size in the panel."
        )
    step = 0.5 * np.eye(len(x))
    values = log_scale_density(np.concatenate([found.x[None], found.x + step, found.x - step]))
    curvature = (2.0 * values[0] - values[1 : len(x) + 1] - values[len(x) + 1 :]) / 0.25
    mode = to_parameters(found.x)
    spread = scale / np.sqrt(np.clip(curvature, 0.04, 1e6))
    spread[positive] *= np.maximum(mode[positive], 3.0 * SMALLEST)
    return mode, spread


def _settle(
    density: Density, x: np.ndarray, root: np.ndarray, positive: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Newton steps along the columns of root (d, d), each about one standard deviation long: mode and rescaled root."""
    d = len(x)
    for _ in range(4):
        points = np.concatenate([x[None], x + root.T, x - root.T])
        points[:, positive] = np.abs(points[:, positive])
        values = density(points)
        up, down = values[1 : d + 1], values[d + 1 :]
        curvature = np.clip(2.0 * values[0] - up - down, 0.1, 100.0)  # a step of this length says no more
        move = (up - down) / 2.0 / curvature
        length = np.linalg.norm(move)
        x = x + root @ move * min(1.0, 5.0 / max(length, 1e-300))
        x[positive] = np.abs(x[positive])
        root = root / np.sqrt(curvature)
        if length < 1.0:
            break
    return x, root


def _curvature_root(density: Density, x: np.ndarray, root: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Root of the covariance at x from the full quadratic, by differences along the columns of root."""
    d = len(x)
    first, second = np.triu_indices(d, 1)
    points = np.concatenate([x[None], x + root.T, x - root.T, x + root.T[first] + root.T[second]])
    points[:, positive] = np.abs(points[:, positive])
    values = density(points)
    centre, up, down = values[0], values[1 : d + 1], values[d + 1 : 2 * d + 1]
    hessian = np.diag(up + down - 2.0 * centre)
    mixed = values[2 * d + 1 :] - up[first] - up[second] + centre
    hessian[first, second] = hessian[second, first] = mixed
    eigen, vectors = linalg.eigh(-hessian)
    return root @ (vectors / np.sqrt(np.clip(eigen, 0.1, 100.0)))


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
