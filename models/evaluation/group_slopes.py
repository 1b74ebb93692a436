"""Posterior draws of mean slopes over any groups of consumers: what contrasts of segments need, draw by draw."""

from __future__ import annotations

import numpy as np

from models.hbmmm.consumers import consumer_draws
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.problem import build_problem
from models.hbmmm.statistics import SufficientStatistics


def group_slope_draws(fit: HBMMMFit, statistics: SufficientStatistics, members: np.ndarray) -> np.ndarray:
    """Draws (S, G, C) of the mean slope of each group, outcome units per exposure, at the linear part of the basis.

    members: (G, N) bool, consumers in the order of the fit; no group may be empty. S: the kept draws of all completed
    data sets, consumer effects drawn anew with the fit's seed.
    """
    if not members.any(axis=1).all():
        raise ValueError("a group has no consumer, and so no mean slope.")
    share = members / members.sum(axis=1, keepdims=True)
    columns = list(fit.design.slope_columns[1:])
    scale = fit.design.outcome_scale / np.array([fit.design.row_columns[c].scale for c in columns])
    out = []
    for m, completed in enumerate(fit.completed):
        problem = build_problem(statistics, fit.design, completed)
        rng = np.random.default_rng([fit.config.seed, m, 2])
        for draw in consumer_draws(problem, fit.kept_draws(m), rng):
            out.append(share @ draw.coefficients[:, columns] * scale)
    return np.stack(out)
