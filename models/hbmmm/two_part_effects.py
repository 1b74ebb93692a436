"""Money effects of the two-part model: counterfactual p mu of every panel row, draw by draw of both parts.

Draws of the parts are paired by number: given the data they are independent. Population draws are stretched as those
of the money model are, by the ratio of consumer-clustered to model error of the linearised effect: its derivatives in
both parts' coefficients of the channel's own exposure, at the posterior mean, through robust.py. Errors of levels (of
p and mu themselves, which scale an effect) and what the parts' scores have in common are left out of that ratio.
R-hat and ESS are not given: the incidence's draws are of a normal approximation. learned_share is the incidence's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from models.hbmmm.consumers import consumer_draws, mean_coefficients, total_coefficients
from models.hbmmm.effect_draws import ConsumerSummary
from models.hbmmm.effects import (
    CONSUMER_ESTIMANDS,
    EffectDraws,
    EffectTables,
    effect_tables,
    exposure_scales,
    no_effects,
    population_numbers,
)
from models.hbmmm.exposure_weights import Estimand, ExposureSums, estimands_of
from models.hbmmm.problem import Problem, build_problem
from models.hbmmm.robust import error_variances
from models.hbmmm.segments import population_groups
from models.hbmmm.two_part import TwoPartFit
from models.hbmmm.two_part_incidence import working_statistics
from models.hbmmm.two_part_kernel import add_effects, add_gradients
from models.hbmmm.two_part_rows import PanelRows

METHOD = "hbmmm_two_part"


class _Counterfactuals:
    """The panel's rows and everything of the design that the kernel needs."""

    def __init__(self, fit: TwoPartFit, panel: Any) -> None:
        self.fit, self.rows = fit, PanelRows.of(panel)
        design = fit.amount.design
        design.require_columns(self.rows.statistics)
        channels = list(panel.channel_ids)
        self.exposures = np.ascontiguousarray(
            np.asarray(panel.exposures, dtype=float)[:, [channels.index(c) for c in design.modelled_channels]]
        )
        scale_x, scale_log, log_columns = exposure_scales(replace(design, outcome_scale=1.0))
        self.shape = (
            self.rows.scaled(design),
            self.rows.consumer,
            self.exposures,
            design.bends,
            1.0 / scale_x,
            np.array([np.nan if s == 0 else 1.0 / s for s in scale_log]),
            np.array(design.slope_columns[1:], dtype=np.int64),
            np.array([-1 if c is None else c for c in log_columns], dtype=np.int64),
        )
        self.statistics = (working_statistics(self.rows, fit.predictor), self.rows.amounts())

    def problems(self, imputation: int) -> tuple[Problem, Problem]:
        """Incidence and amount of one completed data set."""
        completed = self.fit.completed[imputation]
        incidence, amount = self.fit.incidence.design, self.fit.amount.design
        return (
            build_problem(self.statistics[0], incidence, completed, self.rows.own_means(incidence)),
            build_problem(self.statistics[1], amount, completed),
        )

    def parts(self, incidence: np.ndarray, amount: np.ndarray) -> tuple[np.ndarray, ...]:
        """Coefficients (N, pD) of both parts with their levels, as the kernel takes them."""
        levels = [
            (part.row_means[:, 1:] * total[:, 1:]).sum(axis=1)
            for part, total in ((self.fit.incidence, incidence), (self.fit.amount, amount))
        ]
        return incidence, levels[0], amount, levels[1]


def compute_two_part_effects(fit: TwoPartFit, panel: Any) -> EffectTables:
    """Effects of every channel on the panel the model was fitted on. Raises PanelError for another panel."""
    design = fit.amount.design
    sums = ExposureSums.from_panel(panel, fit.amount.consumer_ids, design.modelled_channels, design.bends)
    estimands = estimands_of(sums)
    if not design.modelled_channels:
        return no_effects(fit.amount, estimands)
    drawn = _draw(fit, _Counterfactuals(fit, panel), estimands, panel.characteristics)
    numbers = population_numbers(drawn.stretched(), fit.config.interval_level)
    numbers |= {"error_ratio": drawn.ratio}
    draws = drawn.values[:, :, int(drawn.groups.levels.index("channel"))]
    shape = (len(fit.amount.completed), fit.config.chains, -1)
    tables = effect_tables(
        drawn,
        numbers,
        drawn.consumers.moments(),
        np.stack([draws[..., c].reshape(shape) for c in range(draws.shape[-1])]),
    )
    named = {name: _named(getattr(tables, name)) for name in ("channel", "market", "segment", "consumer")}
    return replace(tables, **named)


def expected_over_panel(fit: TwoPartFit, panel: Any, draws_most: int = 100) -> tuple[float, float]:
    """GMV that the fit expects over the panel's rows (mean of some draws), and the GMV observed."""
    view = _Counterfactuals(fit, panel)
    totals = []
    for _, expected in _sums(fit, view, 0, -(-len(fit.amount.kept_index) // draws_most)):
        totals.append(expected.sum())
    return float(np.mean(totals)), float(np.asarray(panel.gmv).sum())


def _draw(
    fit: TwoPartFit, view: _Counterfactuals, estimands: tuple[Estimand, ...], characteristics: pd.DataFrame
) -> EffectDraws:
    """Draws of all groups; the incidence speaks for the sampler, as nothing vouches for its draws."""
    channels = len(fit.amount.design.modelled_channels)
    groups = population_groups(fit.amount, characteristics)
    denominators = np.concatenate(
        [np.ones_like(e.weight_x) if e.denominator is None else e.denominator for e in estimands], axis=1
    )
    totals = groups.matrix @ denominators
    totals[:, np.repeat([e.denominator is None for e in estimands], channels)] = 1.0
    chosen = [i for i, e in enumerate(estimands) if (e.name, e.exposure_distribution) in CONSUMER_ESTIMANDS]
    summary = ConsumerSummary(
        columns=np.add.outer(np.array(chosen) * channels, np.arange(channels)).ravel(),
        denominators=denominators,
        draws_count=len(fit.amount.completed) * len(fit.amount.kept_index),
    )
    everybody = np.arange(len(fit.amount.consumer_ids))
    values, ratios = [], []
    for m in range(len(fit.amount.completed)):
        drawn = []
        for effects, _ in _sums(fit, view, m):
            with np.errstate(divide="ignore", invalid="ignore"):
                drawn.append((groups.matrix @ effects) / totals)
            summary.add(everybody, effects[:, summary.columns].T[:, None].copy())
        values.append(np.stack(drawn))
        if fit.config.robust_errors:
            ratios.append(_error_variances(fit, view, m, groups.matrix, totals))
    ratio = np.ones(totals.shape)
    if ratios:
        robust, model = np.mean(ratios, axis=0)
        ratio = np.sqrt(np.divide(robust, model, out=np.ones(totals.shape), where=model > 0))
    return EffectDraws(fit.incidence, estimands, groups, np.stack(values), totals, ratio, summary)


def _sums(fit: TwoPartFit, view: _Counterfactuals, imputation: int, every: int = 1):
    """Iterate over kept draws: sums of effects by consumer (N, 4 C), expected GMV (N,)."""
    problems = view.problems(imputation)
    rng = [np.random.default_rng([fit.config.seed, imputation + 1, part]) for part in (4, 5)]
    pairs = zip(
        *[
            consumer_draws(problem, part.kept_draws(imputation)[::every], generator)
            for problem, part, generator in zip(problems, (fit.incidence, fit.amount), rng, strict=True)
        ],
        strict=True,
    )
    n, channels = len(fit.amount.consumer_ids), view.exposures.shape[1]
    for incidence, amount in pairs:
        totals = total_coefficients(problems[0], incidence), total_coefficients(problems[1], amount)
        effects, expected = np.zeros((n, 4 * channels)), np.zeros(n)
        scale = fit.amount.design.outcome_scale
        add_effects(*view.shape, *view.parts(*totals), scale, effects, expected)
        yield effects, expected


def _error_variances(
    fit: TwoPartFit, view: _Counterfactuals, imputation: int, groups: Any, totals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Clustered and model variances of every group's linearised effects, both parts together, each (G, q)."""
    problems, parts = view.problems(imputation), (fit.incidence, fit.amount)
    means = [part.draws[imputation].mean(axis=(0, 1)) for part in parts]
    incidence, incidence_level, amount, amount_level = view.parts(
        *[mean_coefficients(problem, mean) for problem, mean in zip(problems, means, strict=True)]
    )
    gradients = np.zeros((2, 2, len(incidence), 4 * view.exposures.shape[1]))
    add_gradients(
        *view.shape, incidence, incidence_level, parts[0].row_means, amount, amount_level, parts[1].row_means,
        fit.amount.design.outcome_scale, gradients,
    )  # fmt: skip
    found = [
        error_variances(statistics, problem, mean, part.prior_sd, groups, *gradient, totals)
        for statistics, problem, mean, part, gradient in zip(
            view.statistics, problems, means, parts, gradients, strict=True
        )
    ]
    return found[0][0] + found[1][0], found[0][1] + found[1][1]


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """The table under this method's own name."""
    if not len(table):
        return table
    words = pd.Categorical.from_codes(np.zeros(len(table), dtype=np.int8), categories=[METHOD])
    return table.assign(method=words if isinstance(table["method"].dtype, pd.CategoricalDtype) else METHOD)
