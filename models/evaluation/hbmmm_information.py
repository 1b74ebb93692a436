"""DIC, WAIC and exact LOO of a fitted HBMMM on the panel it was fitted on, conditional and marginal apart.

conditional   points are rows; the consumer's effects are drawn with everything else
marginal      points are consumers; their effects are integrated out given the population and the drawn market effects
              (a new consumer of a known market)

Densities are of the outcome in the panel's own unit, so that they compare with other models of the same outcome. Draws
are streamed: memory grows with rows, not with rows x draws. See information.py for why the levels are never mixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.errors import PanelError
from models.evaluation.hierarchical_loo import hierarchical_loo
from models.evaluation.information import (
    InformationCriterion,
    PointwiseDensities,
    conditional_log_likelihood,
    marginal_log_likelihood,
    pooled_criterion,
)
from models.panel import ConsumerPanel


def hbmmm_information(fit: Any, panel: ConsumerPanel, seed: int = 0) -> tuple[InformationCriterion, ...]:
    """(conditional DIC, WAIC and LOO, marginal DIC, WAIC and LOO) of an HBMMMFit.

    The deviance "at the posterior mean" takes expectations and the covariance of consumer effects at their posterior
    means, and the noise at the mean of its log. The LOO (hierarchical_loo.py) is exact given the variances at those
    values, with moderators averaged over completed data sets; its market and population effects are left-one-out too.
    Raises PanelError where the panel's consumers or rows are not the fit's.
    """
    from models.hbmmm.consumers import consumer_draws
    from models.hbmmm.problem import build_problem
    from models.hbmmm.statistics import SufficientStatistics, row_design

    if panel.consumer_ids.tolist() != list(fit.consumer_ids):
        raise PanelError(
            f"the panel has {panel.consumers_count} consumers that are not the {len(fit.consumer_ids)} of the fit; "
            "information criteria are of the data that a model was fitted on."
        )
    design, statistics = fit.design, SufficientStatistics.from_panel(panel)
    who, width = panel.consumer_index, len(fit.design.row_columns)
    scaled = row_design(panel)[1] @ design.affine_map(len(statistics.columns))
    rows, outcome = scaled[:, :-1], scaled[:, -1]
    rows[:, 1:] -= fit.row_means[who, 1:]
    if width > 1 and np.abs(panel.consumer_means(rows[:, 1:])).max() > 1e-6:
        raise PanelError("the panel's rows are not those that the fit was made of: own means differ.")
    home, stratum = fit.market_index[who], fit.stratum_index[who]
    slopes, moderated = list(design.slope_columns), fit.coefficient_mean.shape[1]
    covariates = list(design.market_columns[len(slopes) :])
    owners = np.array([c for c, _ in design.moderators], dtype=np.int64)
    unit = np.log(design.outcome_scale)

    by_row, by_consumer = PointwiseDensities(len(rows)), PointwiseDensities(panel.consumers_count)
    sums = {"expected": 0.0, "population": 0.0, "covariance": 0.0, "log_noise": 0.0}
    rng, count, features_sum = np.random.default_rng(seed), 0, 0.0
    rows_of_consumer = np.bincount(who)
    for m, completed in enumerate(fit.completed):
        problem = build_problem(statistics, design, completed)
        features, kept = problem.by_consumer(problem.features), fit.kept_draws(m)
        features_sum = features_sum + features
        for parameters, draw in zip(kept, consumer_draws(problem, kept, rng), strict=True):
            log_noise, factor, _, fixed = problem.split(np.ascontiguousarray(parameters))
            rest = rows[:, moderated:] @ draw.fixed[moderated:]
            rest += np.einsum("rc,rc->r", rows[:, covariates], draw.market[home, len(slopes) :])
            expected = rest + np.einsum("rc,rc->r", rows[:, :moderated], draw.coefficients[who])
            mean = np.tile(fixed[:moderated], (panel.consumers_count, 1))
            for column in np.unique(owners):
                mine = owners == column
                mean[:, column] += features[:, mine] @ fixed[width:][mine]
            mean[:, slopes] += draw.market[fit.market_index, : len(slopes)]
            population = rest + np.einsum("rc,rc->r", rows[:, :moderated], mean[who])
            noise = np.exp(log_noise)[stratum]
            covariance = factor @ factor.T
            by_row.add(conditional_log_likelihood(outcome, expected, noise) - unit)
            one = marginal_log_likelihood(outcome - population, rows[:, slopes], who, covariance, noise**2)
            by_consumer.add(one - unit * rows_of_consumer)
            for name, value in zip(sums, (expected, population, covariance, log_noise), strict=True):
                sums[name] = sums[name] + value
            count += 1
    expected, population, covariance, log_noise = (value / count for value in sums.values())
    noise = np.exp(log_noise)[stratum]
    at_mean = conditional_log_likelihood(outcome, expected, noise).sum() - unit * len(rows)
    residual = outcome - population
    marginal_at_mean = marginal_log_likelihood(residual, rows[:, slopes], who, covariance, noise**2).sum()
    loo, new_loo = _exact_loos(fit, rows, outcome, who, features_sum / len(fit.completed), covariance, noise)
    return (
        by_row.dic(at_mean, "conditional"),
        by_row.waic("conditional"),
        pooled_criterion("LOO", "conditional", loo.variant, -0.5 * loo.pointwise - unit),
        by_consumer.dic(marginal_at_mean - unit * len(rows), "marginal"),
        by_consumer.waic("marginal"),
        pooled_criterion(
            "LOO", "marginal", new_loo.variant, -0.5 * new_loo.pointwise - unit * rows_of_consumer
        ),
    )


def _exact_loos(
    fit: Any,
    rows: np.ndarray,
    outcome: np.ndarray,
    who: np.ndarray,
    features: np.ndarray,
    covariance: np.ndarray,
    noise: np.ndarray,
) -> tuple[InformationCriterion, InformationCriterion]:
    """LOOs of the scaled rows (R, pD), centred on their consumer; fixed and market effects are refitted too."""
    design = fit.design
    owners = np.array([c for c, _ in design.moderators], dtype=np.int64)
    population = np.hstack([rows, rows[:, owners] * features[who]])
    market = {}
    names = np.array([n.startswith("market_sd[") for n in fit.parameter_names])
    if names.any():
        sd = fit.draws[..., names].mean(axis=(0, 1, 2))
        columns = rows[:, list(design.market_columns)]
        market = {"market_design": columns, "market_index": fit.market_index[who], "market_sd": sd}
    precision = np.diag(fit.prior_sd[-population.shape[1] :] ** -2.0)
    x = rows[:, list(design.slope_columns)]
    return hierarchical_loo(outcome, population, precision, x, who, covariance, noise**2, **market)
