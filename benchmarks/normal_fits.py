"""Fits of the response model by the normal approximation at its mode: seconds in place of minutes, for studies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from models.response.config import ResponseConfig
from models.response.density import ResponseDensity
from models.response.diagnostics import diagnose
from models.response.fit import ResponseFit
from models.response.lift_tests import LiftTest
from models.response.linear_draws import draw_back
from models.response.market_panel import MarketPanel
from models.response.problem import build_problem
from models.response.sampler import Sample, find_mode
from models.response.scaling import Scaling


def normal_fit(
    panel: MarketPanel, config: ResponseConfig, lift_tests: Sequence[LiftTest] = ()
) -> ResponseFit:
    """As fit_response, with independent draws of the normal at the mode in place of NUTS: nothing was sampled, so that
    its diagnostics say nothing about the posterior. config.kept_draws draws."""
    scaling = Scaling.of_panel(panel, config.controls)
    problem = build_problem(panel, config, scaling, lift_tests)
    density = ResponseDensity(problem)
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, 2]))
    with threadpool_limits(limits=1):
        found = find_mode(density)
        root = np.linalg.cholesky(found.covariance)
        each = -(-config.kept_draws // config.chains)
        drawn = found.mode + rng.standard_normal((config.chains, each, len(root))) @ root.T
        flat = drawn.reshape(-1, len(root))[: config.kept_draws]
        draws = draw_back(density, flat, rng)
    sample = Sample(drawn, rng.standard_normal(drawn.shape[:2]), 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return ResponseFit(
        config=config,
        scaling=scaling,
        panel=panel,
        lift_tests=tuple(lift_tests),
        effects=problem.effects,
        transforms=problem.layout.transforms,
        parameter_names=problem.layout.names,
        parameters=problem.layout.values(drawn)[0],
        draws=draws,
        common_names=problem.common_names,
        middle_year=float(scaling.years(panel.period_starts).mean()),
        diagnostics=diagnose(sample, problem.layout.names),
    )
