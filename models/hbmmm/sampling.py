"""Which sampler, where: every completed data set sampled by importance, NUTS or the normal approximation."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from models.errors import ConvergenceError
from models.hbmmm.collapsed_sampler import sample_collapsed
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design
from models.hbmmm.importance import K_HAT_MOST, sample_importance
from models.hbmmm.normal_approximation import sample_normal_approximation
from models.hbmmm.problem import build_problem, prior_table
from models.hbmmm.sample import Sample
from models.hbmmm.sampler import sample_posterior
from models.hbmmm.statistics import SufficientStatistics
from models.hbmmm.strata import pooled_strata

Progress = Callable[[str, float], None]
IMPORTANCE_ESS_LEAST = 400.0


@dataclass(frozen=True, slots=True, eq=False)
class SamplingJob:
    """One completed data set; start: where the normal approximation begins its search for the mode."""

    statistics: SufficientStatistics
    design: Design
    completed: pd.DataFrame
    config: HBMMMConfig
    seed: int
    start: np.ndarray | None = None

    def run(self, progress: Progress | None = None) -> Sample:
        """Sample by NUTS or by the normal approximation."""
        if self.config.inference != "laplace" and self._takes_collapsed():
            return sample_collapsed(
                self.statistics, self.design, self.completed, self.config, self.seed, progress
            )
        problem = build_problem(self.statistics, self.design, self.completed)
        if self.config.inference == "laplace":
            return sample_normal_approximation(problem, self.config, self.seed, self.start)
        return sample_posterior(problem, self.config, self.seed, progress)

    def _takes_collapsed(self) -> bool:
        return len(self.statistics.consumer_ids) >= self.config.collapsed_consumers


def sample_all(jobs: list[SamplingJob], tell: Progress) -> list[Sample]:
    """One sample for each completed data set, in order; tell hears shares of the whole fit, .02 to .92."""
    config = jobs[0].config
    if _takes_importance(config, len(jobs[0].statistics.consumer_ids)):
        samples = _importance_samples(jobs, tell)
        if samples is not None:
            return samples
    workers = 1 if config.inference == "laplace" else min(config.worker_processes, len(jobs))
    samples: list[Sample] = []
    if workers > 1:
        # spawn: forking a process that holds BLAS threads can deadlock (conventions.md T10)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for done, sample in enumerate(pool.map(SamplingJob.run, jobs), start=1):
                samples.append(sample)
                tell(f"imputation {done} of {len(jobs)} sampled", 0.02 + 0.9 * done / len(jobs))
        return samples
    for i, job in enumerate(jobs):
        if config.inference == "laplace" and samples:
            job = replace(job, start=samples[-1].mode)
        samples.append(job.run(_part(tell, i, len(jobs))))
    return samples


def _part(tell: Progress, i: int, count: int) -> Progress:
    return lambda text, share: tell(
        f"imputation {i + 1} of {count}: {text}", 0.02 + 0.9 * (i + share) / count
    )


def _takes_importance(config: HBMMMConfig, consumers_count: int) -> bool:
    if config.inference == "auto":
        return consumers_count >= config.importance_consumers
    return config.inference == "importance"


def _importance_samples(jobs: list[SamplingJob], tell: Progress) -> list[Sample] | None:
    """Samples by importance, one data set after the other; None where they fail and NUTS is allowed in their place."""
    samples = []
    for i, job in enumerate(jobs):
        statistics, config = job.statistics, job.config
        strata = pooled_strata(statistics.spend_stratum, statistics.packed[:, -1])[0]
        prior_sd = prior_table(job.design, len(strata), config)[1]
        try:
            sample = sample_importance(
                statistics, job.design, job.completed, prior_sd, config, job.seed, _part(tell, i, len(jobs))
            )
        except ConvergenceError as error:
            if config.inference == "importance":
                raise
            tell(f"importance sampling gave up ({error}); NUTS instead", 0.02)
            return None
        reliable = sample.k_hat < K_HAT_MOST and sample.importance_ess >= IMPORTANCE_ESS_LEAST
        if not reliable and config.inference == "auto":
            tell(
                f"importance sampling is not reliable (k-hat {sample.k_hat:.2f}, effective size "
                f"{sample.importance_ess:.0f}); NUTS instead",
                0.02,
            )
            return None
        samples.append(sample)
    return samples
