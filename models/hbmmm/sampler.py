"""NUTS on one completed data set: mode, metric, chains."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from models.hbmmm.backend import load_pymc
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.laplace import find_mode
from models.hbmmm.model import compiled_model
from models.hbmmm.problem import Problem, prior_table

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """draws (chain, draw, d) with standard deviations made positive; mode (d,), covariance (d,d); sampler counts."""

    draws: np.ndarray
    mode: np.ndarray
    covariance: np.ndarray
    divergences_count: int
    gradients_count: int
    step_size: float
    seconds_mode: float
    seconds_sampling: float


def sample_posterior(
    problem: Problem, config: HBMMMConfig, seed: int, progress: Progress | None = None
) -> Sample:
    """Draw all global parameters with PyMC's NUTS; the same seed gives the same draws."""
    pm = load_pymc()
    from pymc.step_methods.hmc.quadpotential import QuadPotentialFull

    started = time.perf_counter()
    prior_mean, prior_sd = prior_table(problem, config)
    model = compiled_model(problem.parameter_names, prior_mean, prior_sd)
    model.load(problem)
    rng = np.random.default_rng(seed)
    total = config.chains * (config.tune + config.draws)
    every = max(total // 20, 1)
    done = 0

    def report(trace: object, draw: object) -> None:
        nonlocal done
        done += 1
        if progress is not None and done % every == 0:
            progress("draws", done / total)

    with threadpool_limits(
        limits=1
    ):  # small matrices: threads cost more than they bring, and fits run side by side
        laplace = find_mode(problem, prior_sd, model.value_and_gradient)
        root = np.linalg.cholesky(laplace.covariance)
        starts = laplace.mode + rng.standard_normal((config.chains, len(root))) @ root.T
        seconds_mode = time.perf_counter() - started
        logger = logging.getLogger("pymc")
        level = logger.level
        logger.setLevel(logging.ERROR)  # its notes on chains and ESS are our diagnostics table
        try:
            with model.model:
                step = pm.NUTS(
                    potential=QuadPotentialFull(laplace.covariance),
                    logp_dlogp_func=model.log_posterior,
                    target_accept=config.target_accept,
                    step_scale=2.0,
                    initial_point={"parameters": starts[0]},
                    rng=int(rng.integers(2**31 - 1)),
                )
                trace = pm.sample(
                    draws=config.draws,
                    tune=config.tune,
                    chains=config.chains,
                    cores=1,
                    step=step,
                    nuts_sampler="pymc",
                    initvals=[{"parameters": start} for start in starts],
                    random_seed=int(rng.integers(2**31 - 1)),
                    progressbar=False,
                    compute_convergence_checks=False,
                    return_inferencedata=False,
                    callback=report,
                    compile_kwargs={"mode": model.mode},
                )
        finally:
            logger.setLevel(level)
    draws = np.stack(trace.get_values("parameters", combine=False))
    sds = slice(len(problem.strata), draws.shape[-1] - problem.constant_outcome.shape[1])
    draws[:, :, sds] = np.abs(draws[:, :, sds])
    return Sample(
        draws=draws,
        mode=laplace.mode,
        covariance=laplace.covariance,
        divergences_count=int(trace.get_sampler_stats("diverging").sum()),
        gradients_count=int(trace.get_sampler_stats("tree_size").sum()),
        step_size=float(trace.get_sampler_stats("step_size")[-1]),
        seconds_mode=seconds_mode,
        seconds_sampling=time.perf_counter() - started - seconds_mode,
    )
