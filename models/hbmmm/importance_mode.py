"""Where importance sampling starts: mode and curvature of the collapsed posterior, on samples, then on everybody."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import linalg, optimize

from models.errors import ConvergenceError
from models.hbmmm.collapsed_problem import CollapsedProblem, build_collapsed
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design
from models.hbmmm.importance_particles import Particles
from models.hbmmm.importance_proposal import Density, Space
from models.hbmmm.statistics import SufficientStatistics

SUBSAMPLES = (20_000, 60_000)  # consumers that mode and curvature are searched on before all of them
STRATUM_LEAST = 200  # consumers of a noise stratum in such a sample, where it has so many
SMALLEST = 1e-3  # of a standard deviation, scaled, in the search for the mode
FAR_MOVE = 2.0  # per root of the dimension, in standard deviations: a mode so far from a sample's has its own curvature
SETTLED = 3.0  # standard deviations that the last step may want: the first stage's proposals reach that far


def mode_of_all(
    particles: Particles, space: Space, mean: np.ndarray, root: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mode and root of the covariance on all consumers, from those of a sample.

    Where outcomes have heavy tails a sample's variances are tens of the posterior's standard deviations from those of
    all, far beyond what steps of a few standard deviations reach: so the climb is by the exact gradient, and the
    curvature is taken anew where it went far. Raises ConvergenceError where it does not come to rest.
    """

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        point = mean + root @ u
        value, gradient = particles.value_and_gradient(space.to_parameters(point))
        return -value - space.log_jacobian(point), -(root.T @ space.gradient(point, gradient))

    found = optimize.minimize(
        objective, np.zeros(len(mean)), jac=True, method="L-BFGS-B", options={"maxiter": 200, "gtol": 0.3}
    )
    particles.count += found.nfev
    mean = mean + root @ found.x
    if np.linalg.norm(found.x) > FAR_MOVE * np.sqrt(len(mean)):
        root = _gradient_root(particles, space, mean, root)
    mean[space.folded] = np.abs(mean[space.folded])
    mean, root, left = _settle(space.density(particles.density), mean, root, space.folded)
    if not left < SETTLED:
        raise ConvergenceError(
            f"the variances of all consumers did not come to rest: a step promises {left:.1f} standard deviations "
            "after the search. Fit with inference='nuts'."
        )
    return mean, root


def _gradient_root(particles: Particles, space: Space, x: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Root of the covariance at x, by central differences of the gradient along the columns of root."""
    ends = np.concatenate([x + root.T, x - root.T])
    gradients = space.gradient(ends, particles.gradients(space.to_parameters(ends)))
    along = gradients @ root  # (2 d, d)
    hessian = (along[: len(x)] - along[len(x) :]) / 2.0
    return _inverse_root(root, -(hessian + hessian.T) / 2.0)


def scale_positions(problem: CollapsedProblem) -> np.ndarray:
    """Positions of the standard deviations in the variance parameters."""
    s, k = len(problem.strata), problem.slopes_count + 1
    market = s + k + problem.correlations_count
    return np.concatenate([np.arange(s, s + k), np.arange(market, market + problem.market_scales_count)])


def approximate(
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
        chosen = _sample(statistics.spend_stratum, size, rng) if size < n else np.arange(n)
        part = problem
        if size < n:
            part = build_collapsed(statistics.subset(chosen), design, completed.iloc[chosen])
        if part.strata != problem.strata:
            raise ConvergenceError(
                f"a sample of {len(chosen)} of {n} consumers has the noise strata {list(part.strata)}, all have "
                f"{list(problem.strata)}: importance sampling needs each in numbers. Fit with inference='nuts'."
            )
        particles = Particles(part, prior_sd, config, 0)
        density = particles.density
        x, spread = _climb(particles, part, x)
        if size >= n:
            break
    shrink = np.ones(len(x))
    shrink[: len(x) - part.market_scales_count] = np.sqrt(min(len(chosen) / n, 1.0))
    space = Space.around(x, spread * shrink, scale_positions(problem))
    inner, mean = space.density(density), space.to_space(x)
    mean, root, _ = _settle(inner, mean, np.diag(space.spread / shrink), space.folded)
    return space, mean, shrink[:, None] * _curvature_root(inner, mean, root, space.folded)


def _sample(strata: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of about `size` consumers, those of rare strata in numbers that tell a variance."""
    chosen = np.zeros(len(strata), dtype=bool)
    chosen[rng.choice(len(strata), size, replace=False)] = True
    for name in np.unique(strata.astype(str)):
        mine = np.flatnonzero(strata.astype(str) == name)
        lacking = min(STRATUM_LEAST, len(mine)) - int(chosen[mine].sum())
        if lacking > 0:
            chosen[rng.choice(mine[~chosen[mine]], lacking, replace=False)] = True
    return np.flatnonzero(chosen)


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


def _climb(particles: Particles, problem: CollapsedProblem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
) -> tuple[np.ndarray, np.ndarray, float]:
    """Newton steps along the columns of root (d, d), each about one standard deviation long: mode, rescaled root, and
    the length of the last step wanted, in standard deviations."""
    d = len(x)
    for _ in range(4):
        points = np.concatenate([x[None], x + root.T, x - root.T])
        points[:, positive] = np.abs(points[:, positive])
        values = density(points)
        up, down = values[1 : d + 1], values[d + 1 :]
        curvature = np.clip(2.0 * values[0] - up - down, 0.1, 100.0)  # a step of this length says no more
        move = (up - down) / 2.0 / curvature
        length = float(np.linalg.norm(move))
        x = x + root @ move * min(1.0, 5.0 / max(length, 1e-300))
        x[positive] = np.abs(x[positive])
        root = root / np.sqrt(curvature)
        if length < 1.0:
            break
    return x, root, length


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
    return _inverse_root(root, -hessian)


def _inverse_root(root: np.ndarray, information: np.ndarray) -> np.ndarray:
    """root times a root of the inverse of the information (d, d) in its coordinates, eigenvalues kept within reason."""
    eigen, vectors = linalg.eigh(information)
    return root @ (vectors / np.sqrt(np.clip(eigen, 1e-2, 1e4)))
