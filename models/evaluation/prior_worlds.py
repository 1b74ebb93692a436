"""Worlds drawn from the HBMMM's own prior: exposures and features of a given panel, parameters and outcome drawn.

What simulation-based calibration needs (Talts et al. 2018): if data come from the prior and the sampler is right,
the truth is a draw like any other of the posterior. The design (columns, scales) is fixed beforehand, because scales
learned from the drawn outcome would make the prior depend on the data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from models.hbmmm import correlation
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design, feature_matrix
from models.hbmmm.problem import Problem, build_problem, consumer_row_means, prior_table
from models.hbmmm.statistics import SufficientStatistics, row_design

MISSPECIFICATIONS = ("hidden_confounder", "heavy_tails", "wrong_link")
CONFOUNDING = (
    0.5  # noise sds of the outcome per sd of a hidden shock that half follows the first channel's exposure
)
TAIL_DEGREES = 3.0
CURVATURE = 0.5  # of the exponential link, per sd of the linear predictor


@dataclass(frozen=True, slots=True, eq=False)
class PriorWorld:
    """statistics hold the drawn outcome; parameters (d,) in the fit's order; coefficients (N, k): each consumer's total
    coefficients of the slope columns [1, x_1..x_C], scaled; under a wrong link its mean derivatives."""

    statistics: SufficientStatistics
    parameters: np.ndarray
    coefficients: np.ndarray


class PriorWorlds:
    """Draws outcomes on the rows of one panel. `completed`: characteristics without gaps, in the statistics' order.

    bends (C,): of the concave columns; None takes the panel's own.
    """

    def __init__(
        self,
        panel: Any,
        design: Design,
        completed: pd.DataFrame,
        config: HBMMMConfig,
        bends: np.ndarray | None = None,
    ) -> None:
        self.config, self.design = config, design
        self.statistics = SufficientStatistics.from_panel(panel, bends)
        self.problem: Problem = build_problem(self.statistics, design, completed)
        columns, rows = row_design(panel, bends)
        order = np.lexsort((np.asarray(panel.period_index), np.asarray(panel.consumer_index)))
        self.rows = rows[order]
        present, self.consumer = np.unique(np.asarray(panel.consumer_index)[order], return_inverse=True)
        self.starts = np.searchsorted(self.consumer, np.arange(len(present)))
        scaled = self.rows @ design.affine_map(len(columns))[:, :-1]
        counts = np.bincount(self.consumer)
        means = np.add.reduceat(scaled, self.starts, axis=0) / counts[:, None]
        means[:, 0] = 0.0  # the intercept stays
        self.scaled = scaled - means[self.consumer]
        self.features = feature_matrix(design, consumer_row_means(self.statistics, design), completed)
        self.stratum = self.problem.by_consumer(self.problem.stratum)
        self.market = self.problem.by_consumer(self.problem.market)

    def draw(self, rng: np.random.Generator, misspecification: str | None = None) -> PriorWorld:
        """The statistics of one `outcome`, for a fit. Raises ValueError as that does."""
        parameters, outcome, coefficients = self.outcome(rng, misspecification)
        rows = self.rows.copy()
        rows[:, -1] = outcome * self.design.outcome_scale
        upper = np.triu_indices(rows.shape[1])
        packed = np.add.reduceat(rows[:, upper[0]] * rows[:, upper[1]], self.starts, axis=0)
        return PriorWorld(replace(self.statistics, packed=packed), parameters, coefficients)

    def outcome(
        self, rng: np.random.Generator, misspecification: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parameters (d,) from the prior, effects from the parameters, a scaled outcome (R,) from the effects.

        Third comes what PriorWorld calls coefficients.

        misspecification: what the model does not know of. "hidden_confounder": a shock by consumer and period that
        moves the outcome and, by half, goes with the first channel's exposure; "heavy_tails": noise of t with 3
        degrees of freedom and the same variance; "wrong_link": the outcome is exponential in the linear predictor and
        its noise. Raises ValueError for another.
        """
        if misspecification not in (None, *MISSPECIFICATIONS):
            raise ValueError(
                f"misspecification must be None or one of {MISSPECIFICATIONS}, got {misspecification!r}."
            )
        problem, design, config = self.problem, self.design, self.config
        mean, sd = prior_table(design, len(problem.strata), config)
        parameters = mean + sd * rng.standard_normal(len(sd))
        part = problem.layout.correlation
        parameters[part] = draw_correlations(
            problem.slopes_count - 1, config.prior_slope_correlation, part.stop - part.start, rng
        )
        parameters = problem.positive(parameters)
        log_noise, factor, market_sd, fixed = problem.split(parameters)
        width, slopes = len(design.row_columns), list(design.slope_columns)
        total = np.tile(fixed[:width], (problem.consumers_count, 1))
        for coefficient, (column, feature) in zip(fixed[width:], design.moderators, strict=True):
            total[:, column] += coefficient * self.features[:, feature]
        market = rng.standard_normal((problem.markets_count, problem.market_count)) * market_sd
        total[:, problem.market_columns] += market[self.market]
        total[:, slopes] += rng.standard_normal((problem.consumers_count, len(slopes))) @ factor.T
        outcome = np.einsum("rc,rc->r", self.scaled, total[self.consumer])
        noise = rng.standard_normal(len(outcome))
        if misspecification == "heavy_tails":
            noise = rng.standard_t(TAIL_DEGREES, len(outcome)) / np.sqrt(TAIL_DEGREES / (TAIL_DEGREES - 2.0))
        if misspecification == "hidden_confounder":
            exposure = self.scaled[:, slopes[1]] / self.scaled[:, slopes[1]].std()
            noise += CONFOUNDING * (exposure + rng.standard_normal(len(outcome))) / np.sqrt(2.0)
        outcome += np.exp(log_noise)[self.stratum[self.consumer]] * noise
        coefficients = total[:, slopes]
        if misspecification == "wrong_link":
            scale = outcome.std() / CURVATURE
            derivative = np.exp((outcome - outcome.mean()) / scale)
            outcome = outcome.mean() + scale * (derivative - 1.0)
            counts = np.bincount(self.consumer)
            coefficients = coefficients * (np.bincount(self.consumer, derivative) / counts)[:, None]
        return parameters, outcome, coefficients


def draw_correlations(
    slopes_count: int, concentration: float, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Correlation values under LKJ(concentration): partial correlations are 2 Beta(b, b) - 1 (correlation.py)."""
    if not count:
        return np.empty(0)
    _, column = correlation.pairs_of(slopes_count)
    b = concentration + (slopes_count - 2 - column) / 2.0
    return np.arctanh(2.0 * rng.beta(b, b) - 1.0)
