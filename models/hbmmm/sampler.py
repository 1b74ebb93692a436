"""NUTS on one completed data set: mode, metric, chains."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from models.hbmmm.backend import load_pymc
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.diagnostics import e_bfmi
from models.hbmmm.laplace import find_mode
from models.hbmmm.model import compiled_model
from models.hbmmm.problem import Problem, prior_table
from models.hbmmm.sample import Sample

Progress = Callable[[str, float], None]
STEP_LADDER = (1.9, 1.6, 1.3, 1.0, 0.75, 0.5, 0.3)  # times dimension^(-1/4)
RUNS, SHORTER = 3, 2.0 / 3.0
BURN_IN = 30  # draws a chain forgets of its start, itself a draw of the Laplace approximation


def sample_posterior(
    problem: Problem, config: HBMMMConfig, seed: int, progress: Progress | None = None
) -> Sample:
    """Draw all global parameters with PyMC's NUTS; the same seed gives the same draws."""
    pm = load_pymc()
    from pymc.step_methods.hmc.quadpotential import QuadPotentialFull

    started = time.perf_counter()
    prior_mean, prior_sd = prior_table(problem.design, len(problem.strata), config)
    model = compiled_model(problem.parameter_names, prior_mean, prior_sd, config.prior_slope_correlation)
    model.load(problem)
    rng = np.random.default_rng(seed)
    total = config.tune + 5 + config.chains * (BURN_IN + config.draws)
    every = max(total // 20, 1)
    done = 0

    def report(trace: object, draw: object) -> None:
        nonlocal done
        done += 1
        if progress is not None and done % every == 0:
            progress("draws", min(done / total, 1.0))

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

                def nuts(step_size: float) -> object:
                    return pm.NUTS(
                        potential=QuadPotentialFull(laplace.covariance),
                        logp_dlogp_func=model.log_posterior,
                        step_scale=step_size * len(root) ** 0.25,  # PyMC divides by it
                        adapt_step_size=False,
                        initial_point={"parameters": starts[0]},
                        rng=int(rng.integers(2**31 - 1)),
                    )

                def run(step: object, points: np.ndarray, tune: int, draws: int) -> object:
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
                        callback=report,
                        compile_kwargs={"mode": model.mode},
                    )

                # In this metric the posterior is close to a standard normal, where leapfrog's step for a given
                # acceptance falls with dimension^(1/4). Dual averaging over 100-200 draws gave 0.26 to 0.67 on the
                # same data; the first of a short ladder that is accepted often enough is steady, and cheaper.
                # A run that diverges is repeated with a step a third shorter, twice at most.
                for rung in STEP_LADDER:
                    step_size = rung / len(root) ** 0.25
                    pilot = run(nuts(step_size), starts[:1], 5, config.tune)
                    accepted = float(pilot.get_sampler_stats("mean_tree_accept").mean())
                    if accepted >= config.target_accept and not pilot.get_sampler_stats("diverging").any():
                        break
                for attempt in range(RUNS):
                    step_size *= SHORTER if attempt else 1.0
                    trace = run(nuts(step_size), starts, BURN_IN, config.draws)
                    if not trace.get_sampler_stats("diverging").any():
                        break
        finally:
            logger.setLevel(level)
    draws = np.stack(trace.get_values("parameters", combine=False))
    return Sample(
        method="nuts",
        draws=problem.positive(draws),
        mode=laplace.mode,
        covariance=laplace.covariance,
        divergences_count=int(trace.get_sampler_stats("diverging").sum()),
        evaluations_count=int(trace.get_sampler_stats("tree_size").sum()),
        step_size=step_size,
        seconds_mode=seconds_mode,
        seconds_sampling=time.perf_counter() - started - seconds_mode,
        e_bfmi=e_bfmi(np.array(trace.get_sampler_stats("energy", combine=False))),
    )
