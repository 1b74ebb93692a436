"""NUTS on one completed data set: mode, metric and step size first, then chains (collapsed_sampler.py: of fewer
parameters)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from models.hbmmm.backend import load_pymc
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.diagnostics import e_bfmi
from models.hbmmm.laplace import Laplace, find_mode
from models.hbmmm.model import CompiledModel, compiled_model
from models.hbmmm.problem import Problem, prior_table
from models.hbmmm.sample import Sample

Progress = Callable[[str, float], None]
STEP_LADDER = (1.9, 1.6, 1.3, 1.0, 0.75, 0.5, 0.3)  # times dimension^(-1/4)
LONGEST = 0.7  # in few dimensions, where curvature that changes upsets leapfrog long before its errors add up
RUNS, SHORTER = 3, 2.0 / 3.0
STUCK = 0.5  # of the wanted acceptance: a chain below it hardly moves
BURN_IN = 30  # draws a chain forgets of its start, itself a draw of the Laplace approximation


@dataclass(frozen=True, slots=True, eq=False)
class Chains:
    """draws (chain, draw, d), signed; energy (chain, draw); accepted (chain,): mean acceptance; divergences and
    gradients over all chains."""

    draws: np.ndarray
    energy: np.ndarray
    accepted: np.ndarray
    divergences_count: int
    evaluations_count: int


class Nuts:
    """PyMC's NUTS on one model with its data, in the metric of a Laplace approximation."""

    def __init__(
        self, model: CompiledModel, config: HBMMMConfig, report: Callable[[], None] | None = None
    ) -> None:
        """report: called after every draw of any chain."""
        self._model, self.config = model, config
        self.report = report or (lambda: None)

    def value_and_gradient(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Log posterior density, up to a constant, and its gradient (d,)."""
        return self._model.value_and_gradient(parameters)

    def starts(self, laplace: Laplace, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws of the Laplace approximation (count, d)."""
        root = np.linalg.cholesky(laplace.covariance)
        return laplace.mode + rng.standard_normal((count, len(root))) @ root.T

    def sample(self, laplace: Laplace, rng: np.random.Generator) -> tuple[Chains, float]:
        """config.chains chains, and their step size.

        Chains that diverge, or of which one is stuck, are repeated with a step a third shorter, twice at most.
        """
        starts = self.starts(laplace, self.config.chains, rng)
        step_size = self.step_size(laplace, starts[0], rng)
        for attempt in range(RUNS):
            step_size *= SHORTER if attempt else 1.0
            chains = self.chains(laplace, step_size, starts, rng)
            if not chains.divergences_count and chains.accepted.min() >= STUCK * self.config.target_accept:
                break
        return chains, step_size

    def step_size(self, laplace: Laplace, start: np.ndarray, rng: np.random.Generator) -> float:
        """The step that a pilot chain from start (d,) accepts often enough.

        In this metric the posterior is close to a standard normal, where leapfrog's step for a given acceptance falls
        with dimension^(1/4). Dual averaging over 100-200 draws gave 0.26 to 0.67 on the same data; the first of a
        short ladder that is accepted often enough is steady, and cheaper.
        """
        for rung in STEP_LADDER:
            step_size = min(rung / len(start) ** 0.25, LONGEST)
            pilot = self._trace(laplace, step_size, start[None], 5, self.config.tune, rng)
            accepted = float(pilot.get_sampler_stats("mean_tree_accept").mean())
            if accepted >= self.config.target_accept and not pilot.get_sampler_stats("diverging").any():
                break
        return step_size

    def chains(
        self, laplace: Laplace, step_size: float, starts: np.ndarray, rng: np.random.Generator
    ) -> Chains:
        """config.draws draws of a chain from each start (chain, d), after BURN_IN."""
        trace = self._trace(laplace, step_size, starts, BURN_IN, self.config.draws, rng)
        return Chains(
            draws=np.stack(trace.get_values("parameters", combine=False, squeeze=False)),
            energy=np.stack(trace.get_sampler_stats("energy", combine=False, squeeze=False)),
            accepted=np.mean(
                trace.get_sampler_stats("mean_tree_accept", combine=False, squeeze=False), axis=1
            ),
            divergences_count=int(trace.get_sampler_stats("diverging").sum()),
            evaluations_count=int(trace.get_sampler_stats("tree_size").sum()),
        )

    def _trace(
        self,
        laplace: Laplace,
        step_size: float,
        points: np.ndarray,
        tune: int,
        draws: int,
        rng: np.random.Generator,
    ) -> Any:
        pm = load_pymc()
        from pymc.step_methods.hmc.quadpotential import QuadPotentialFull

        with self._model.model, _quiet():
            step = pm.NUTS(
                potential=QuadPotentialFull(laplace.covariance),
                logp_dlogp_func=self._model.log_posterior,
                step_scale=step_size * points.shape[1] ** 0.25,  # PyMC divides by it
                adapt_step_size=False,
                initial_point={"parameters": points[0]},
                rng=int(rng.integers(2**31 - 1)),
            )
            return pm.sample(
                draws=draws,
                tune=tune,
                chains=len(points),
                cores=1,
                step=step,
                nuts_sampler="pymc",
                initvals=[{"parameters": point} for point in points],
                random_seed=int(rng.integers(2**31 - 1)),
                progressbar=False,
                compute_convergence_checks=False,
                return_inferencedata=False,
                callback=lambda trace, draw: self.report(),
                compile_kwargs={"mode": self._model.mode},
            )


def sample_posterior(
    problem: Problem, config: HBMMMConfig, seed: int, progress: Progress | None = None
) -> Sample:
    """Draw all global parameters with NUTS; the same seed gives the same draws."""
    started = time.perf_counter()
    prior_mean, prior_sd = prior_table(problem.design, len(problem.strata), config)
    model = compiled_model(problem.parameter_names, prior_mean, prior_sd, config.prior_slope_correlation)
    model.load(problem)
    nuts = Nuts(model, config, every_twentieth(config, progress))
    rng = np.random.default_rng(seed)
    # small matrices: threads cost more than they bring, and fits run side by side
    with threadpool_limits(limits=1):
        laplace = find_mode(problem, prior_sd, model.value_and_gradient)
        seconds_mode = time.perf_counter() - started
        chains, step_size = nuts.sample(laplace, rng)
    return Sample(
        method="nuts",
        draws=problem.positive(chains.draws),
        mode=laplace.mode,
        covariance=laplace.covariance,
        divergences_count=chains.divergences_count,
        evaluations_count=chains.evaluations_count,
        step_size=step_size,
        seconds_mode=seconds_mode,
        seconds_sampling=time.perf_counter() - started - seconds_mode,
        e_bfmi=e_bfmi(chains.energy),
    )


def every_twentieth(config: HBMMMConfig, progress: Progress | None) -> Callable[[], None]:
    """A callback after every draw that tells the share done at every twentieth of them."""
    total, done = config.tune + 5 + config.chains * (BURN_IN + config.draws), 0
    every = max(total // 20, 1)

    def report() -> None:
        nonlocal done
        done += 1
        if progress is not None and done % every == 0:
            progress("draws", min(done / total, 1.0))

    return report


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PyMC's notes on chains and ESS, which are our diagnostics table."""
    logger = logging.getLogger("pymc")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
