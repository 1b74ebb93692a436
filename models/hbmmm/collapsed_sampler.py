"""NUTS on the variances alone, fixed coefficients drawn exactly for each of its draws (collapsed.py).

A gradient costs about as much as that of all parameters, but a third of the dimensions allows a longer step, and the
fixed coefficients, the greater part, are independent draws given the variances.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from models.hbmmm.collapsed import CollapsedPosterior
from models.hbmmm.collapsed_problem import build_collapsed
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design
from models.hbmmm.diagnostics import e_bfmi
from models.hbmmm.laplace import Laplace, find_mode
from models.hbmmm.model import CompiledModel, compiled_model
from models.hbmmm.problem import Problem, build_problem, prior_table
from models.hbmmm.sample import Sample
from models.hbmmm.sampler import Chains, Nuts, Progress, every_twentieth
from models.hbmmm.statistics import SufficientStatistics


class CollapsedNuts:
    """Both views of one completed data set: marginal for the mode and its curvature, collapsed for the chains."""

    def __init__(
        self,
        statistics: SufficientStatistics,
        design: Design,
        completed: pd.DataFrame,
        config: HBMMMConfig,
        report: Callable[[], None] | None = None,
    ) -> None:
        """report: called after every draw of any chain."""
        self.problem: Problem = build_problem(statistics, design, completed)
        collapsed = build_collapsed(statistics, design, completed)
        self._prior_mean, self.prior_sd = prior_table(design, len(self.problem.strata), config)
        self._concentration = config.prior_slope_correlation
        self._posterior = CollapsedPosterior(collapsed, self.prior_sd, self._concentration)
        self.dimension = collapsed.dimension
        self.nuts = Nuts(self._model(), config, report)

    def laplace(self) -> Laplace:
        """Mode and covariance of all parameters."""
        model = compiled_model(
            self.problem.parameter_names, self._prior_mean, self.prior_sd, self._concentration
        )
        model.load(self.problem)
        found = find_mode(self.problem, self.prior_sd, model.value_and_gradient)
        self.problem.work.clear()  # a gigabyte at 500,000 consumers
        return found

    def of_variances(self, laplace: Laplace) -> Laplace:
        """The leading part: for normals, that of the collapsed posterior."""
        return Laplace(
            laplace.mode[: self.dimension], laplace.covariance[: self.dimension, : self.dimension].copy()
        )

    def all_parameters(self, draws: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws (..., dimension) of the variances with a draw of the fixed coefficients each, (..., d), positive."""
        flat = draws.reshape(-1, self.dimension)
        fixed = np.array([self._posterior.evaluate(one, rng)[1] for one in flat])
        both = np.concatenate([flat, fixed], axis=1)
        return self.problem.positive(both.reshape(*draws.shape[:-1], -1))

    def _model(self) -> CompiledModel:
        sd = self.prior_sd[: self.dimension]
        model = compiled_model(
            self.problem.parameter_names[: self.dimension],
            self._prior_mean[: self.dimension],
            sd,
            self._concentration,
        )

        def likelihood(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self._posterior.value_and_gradient(parameters)
            return value + 0.5 * float(np.sum((parameters / sd) ** 2)), gradient + parameters / sd**2

        model.load_likelihood(likelihood)
        return model


def sample_collapsed(
    statistics: SufficientStatistics,
    design: Design,
    completed: pd.DataFrame,
    config: HBMMMConfig,
    seed: int,
    progress: Progress | None = None,
) -> Sample:
    """Draw all global parameters; the same seed gives the same draws."""
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    with threadpool_limits(limits=1):
        both = CollapsedNuts(statistics, design, completed, config, every_twentieth(config, progress))
        laplace = both.laplace()
        seconds_mode = time.perf_counter() - started
        chains, step_size = both.nuts.sample(both.of_variances(laplace), rng)
        draws = both.all_parameters(chains.draws, rng)
    return collapsed_sample(laplace, chains, draws, step_size, seconds_mode, time.perf_counter() - started)


def collapsed_sample(
    laplace: Laplace,
    chains: Chains,
    draws: np.ndarray,
    step_size: float,
    seconds_mode: float,
    seconds: float,
) -> Sample:
    """What such chains become."""
    return Sample(
        method="collapsed_nuts",
        draws=draws,
        mode=laplace.mode,
        covariance=laplace.covariance,
        divergences_count=chains.divergences_count,
        evaluations_count=chains.evaluations_count,
        step_size=step_size,
        seconds_mode=seconds_mode,
        seconds_sampling=seconds - seconds_mode,
        e_bfmi=e_bfmi(chains.energy),
    )
