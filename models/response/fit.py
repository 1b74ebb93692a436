"""fit_response: from a market panel to draws of every channel's effect, and of everything else that moves the KPI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.response.config import ResponseConfig
from models.response.density import ResponseDensity
from models.response.diagnostics import Diagnostics, diagnose
from models.response.lift_tests import LiftTest
from models.response.linear_draws import PosteriorDraws, draw_back
from models.response.market_panel import MarketPanel
from models.response.priors import EffectPrior
from models.response.problem import build_problem
from models.response.sampler import sample_parameters
from models.response.scaling import Scaling

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class ResponseFit:
    """One fit. C channels, K kept draws; what is made of them: contributions.py, returns.py, scenarios.py.

    effects : (C) the kind and prior of each channel's effect; transforms : names of kernel and curve parameters
    parameters : (chain, draw, d) all draws of the sampled parameters in their units, named by parameter_names
    draws : the kept ones with the linear part; common_names : of its common columns; middle_year : where trends are 0
    """

    config: ResponseConfig
    scaling: Scaling
    panel: MarketPanel
    lift_tests: tuple[LiftTest, ...]
    effects: tuple[EffectPrior, ...]
    transforms: tuple[str, ...]
    parameter_names: tuple[str, ...]
    parameters: np.ndarray
    draws: PosteriorDraws
    common_names: tuple[str, ...]
    middle_year: float
    diagnostics: Diagnostics


def fit_response(
    panel: MarketPanel,
    config: ResponseConfig | None = None,
    *,
    lift_tests: Sequence[LiftTest] = (),
    scaling: Scaling | None = None,
    progress: Progress | None = None,
) -> ResponseFit:
    """Fit the model; the same arguments give the same draws.

    scaling : that of an earlier fit, for a refresh; None: learned from this panel
    progress : called with the step's name and the share done
    Raises PanelError where the panel does not suit config, scaling or tests, ConvergenceError where no mode is found.
    Whether the chains have converged is for the caller to ask: fit.diagnostics.has_converged.
    """
    config = config or ResponseConfig()
    scaling = scaling or Scaling.of_panel(panel, config.controls)
    problem = build_problem(panel, config, scaling, lift_tests)
    density = ResponseDensity(problem)
    sample = sample_parameters(density, config, progress)
    flat = sample.draws.reshape(-1, sample.draws.shape[-1])
    kept = np.linspace(0, len(flat) - 1, min(config.kept_draws, len(flat))).round().astype(int)
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, 1]))
    draws = draw_back(density, flat[kept], rng, lambda share: progress and progress("linear part", share))
    return ResponseFit(
        config=config,
        scaling=scaling,
        panel=panel,
        lift_tests=tuple(lift_tests),
        effects=problem.effects,
        transforms=problem.layout.transforms,
        parameter_names=problem.layout.names,
        parameters=problem.layout.values(sample.draws)[0],
        draws=draws,
        common_names=problem.common_names,
        middle_year=float(scaling.years(panel.period_starts).mean()),
        diagnostics=diagnose(sample, problem.layout.names),
    )
