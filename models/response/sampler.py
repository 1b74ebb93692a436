"""NUTS on the sampled parameters: mode and curvature first, a pilot that learns the metric, then the chains.

All parameters have standard normal priors and the linear part is gone, so that what is left has some tens of dimensions
and a posterior close to normal: in the metric of its covariance few leapfrog steps decorrelate a draw. The curvature at
the mode is that covariance's first guess; where the posterior is skewed (decays near their ends, effects that two
channels share) it misleads, so that the chains move in the covariance of the pilot's draws.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
from scipy import optimize
from threadpoolctl import threadpool_limits

from models.errors import ConvergenceError
from models.response.config import ResponseConfig
from models.response.density import ResponseDensity
from models.response.nuts import Chain, run_chain

Progress = Callable[[str, float], None]
STEP = 1e-4  # of the differences that curvature is made of; parameters have sd 1 or less
LEAST_CURVATURE = 0.5  # of the prior's 1, where the posterior bends the wrong way at its mode
PILOT_WEIGHT = 2.0  # draws that the curvature at the mode counts for per dimension, beside those of the pilot
FIRST_STEP = 1.0  # over d^(1/4); the step size is adapted from there


@dataclass(frozen=True, slots=True, eq=False)
class Laplace:
    """mode (d,) and covariance (d, d) of the normal approximation there."""

    mode: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """draws (chain, draw, d), standard normal scale; energy (chain, draw); divergences of the kept draws; gradients of
    pilot and chains; mean tree depth and step size of the chains; seconds of each part."""

    draws: np.ndarray
    energy: np.ndarray
    divergences_count: int
    evaluations_count: int
    depth: float
    step_size: float
    seconds_mode: float
    seconds_pilot: float
    seconds_chains: float


def sample_parameters(
    density: ResponseDensity, config: ResponseConfig, progress: Progress | None = None
) -> Sample:
    """config.chains chains of config.draws draws; the same config gives the same draws, whatever the threads.

    Raises ConvergenceError where no mode is found.
    """
    _keep_freed_memory()
    sequence = np.random.SeedSequence(config.seed)
    tell = _teller(config, progress)
    with threadpool_limits(limits=1):  # small matrices: threads of BLAS cost more than they bring
        started = time.perf_counter()
        laplace = find_mode(density)
        moded = time.perf_counter()
        rng = np.random.default_rng(sequence.spawn(1)[0])
        root = np.linalg.cholesky(laplace.covariance)
        starts = laplace.mode + rng.standard_normal((config.chains, len(root))) @ root.T
        step = FIRST_STEP / len(root) ** 0.25
        pilots = _chains(density, config, laplace.covariance, starts, step, config.tune, sequence, tell)
        covariance = _learned(laplace, np.concatenate([p.draws for p in pilots]))
        starts = np.array([p.draws[-1] for p in pilots])
        step = float(np.median([p.step_size for p in pilots]))
        piloted = time.perf_counter()
        chains = _chains(density, config, covariance, starts, step, config.draws, sequence, tell)
        ended = time.perf_counter()
    return Sample(
        draws=np.stack([c.draws for c in chains]),
        energy=np.stack([c.energy for c in chains]),
        divergences_count=int(sum(c.is_divergent.sum() for c in chains)),
        evaluations_count=sum(c.evaluations_count for c in (*pilots, *chains)),
        depth=float(np.mean([c.depth for c in chains])),
        step_size=float(np.median([c.step_size for c in chains])),
        seconds_mode=moded - started,
        seconds_pilot=piloted - moded,
        seconds_chains=ended - piloted,
    )


def find_mode(density: ResponseDensity, start: np.ndarray | None = None) -> Laplace:
    """Mode of the density and the covariance of the normal approximation there.

    start (d,): None starts at the medians of the priors. Raises ConvergenceError where the density is nowhere finite.
    """
    x = np.zeros(len(density.problem.layout)) if start is None else start

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density.value_and_gradient(u)
        return (-value, -gradient) if np.isfinite(value) else (1e15, np.zeros_like(u))

    found = optimize.minimize(
        objective, x, jac=True, method="L-BFGS-B", options={"maxiter": 500, "maxcor": 30, "gtol": 1e-2}
    )
    if not found.fun < 1e15:
        raise ConvergenceError(
            "the posterior density is not finite at the medians of the priors. Look for a KPI or exposures of absurd "
            "size, and for priors far from the data's unit."
        )
    hessian = np.empty((len(x), len(x)))
    for a in range(len(x)):
        moved = np.zeros(len(x))
        moved[a] = STEP
        up, down = density.value_and_gradient(found.x + moved), density.value_and_gradient(found.x - moved)
        hessian[a] = -(up[1] - down[1]) / (2.0 * STEP)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2.0)
    covariance = (vectors / np.maximum(values, LEAST_CURVATURE)) @ vectors.T
    return Laplace(found.x, (covariance + covariance.T) / 2.0)


def _keep_freed_memory() -> None:
    """Let glibc keep what a gradient frees for the next one.

    It learns from the largest array given back how much to keep; without this a quarter of the time of a gradient goes
    into 450 page faults, fetching the same memory again. The array is never touched, so that it costs nothing.
    """
    np.empty(3 << 20)


def _chains(
    density: ResponseDensity,
    config: ResponseConfig,
    covariance: np.ndarray,
    starts: np.ndarray,
    step_size: float,
    draws: int,
    sequence: np.random.SeedSequence,
    tell: Callable[[], None],
) -> list[Chain]:
    """A chain of `draws` kept draws from each start, after config.tune / 2 that adapt the step."""

    def run(start: np.ndarray, seed: np.random.SeedSequence) -> Chain:
        return run_chain(
            density.value_and_gradient,
            covariance,
            start,
            step_size,
            tune=config.tune // 2,
            draws=draws,
            target_accept=config.target_accept,
            seed=seed,
            tell=tell,
        )

    with ThreadPoolExecutor(config.threads) as pool:
        return list(pool.map(run, starts, sequence.spawn(len(starts))))


def _learned(laplace: Laplace, draws: np.ndarray) -> np.ndarray:
    """Covariance of the pilot's draws (n, d), drawn towards that at the mode."""
    prior = PILOT_WEIGHT * len(laplace.mode)
    return (prior * laplace.covariance + len(draws) * np.cov(draws.T)) / (prior + len(draws))


def _teller(config: ResponseConfig, progress: Progress | None) -> Callable[[], None]:
    """A callback after every draw of any chain that tells the share done at every twentieth of them."""
    total, done, lock = config.chains * (config.tune // 2 * 2 + config.tune + config.draws), 0, Lock()
    every = max(total // 20, 1)

    def tell() -> None:
        nonlocal done
        with lock:
            done += 1
            is_due = progress is not None and done % every == 0
        if is_due:
            progress("draws", min(done / total, 1.0))

    return tell
