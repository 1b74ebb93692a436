"""How well one carry-over candidate explains a panel: marginal likelihood, and money error on consumers held out.

Both are computed from the candidate's sufficient statistics, and both ask about changes within consumers only.

log_evidence: Laplace's log marginal likelihood, log p(y, mode) + d/2 log 2 pi + 1/2 log det covariance, consumer and
market effects integrated out, of the model with three changes, without which it was led by other things than the
response to exposure (docs/decisions.md has the figures):
    - Exposure columns are scaled so that priors mean the same within consumers at every decay (candidate_design).
      Scaled by their total sd, a long adstock, which hardly moves within a consumer, could explain little and so paid
      little: evidence favoured it whatever the data said.
    - The intercept equation has no own means. Which transform of mean exposure fits the level of consumers best says
      nothing of carry-over.
    - Noise strata are groups of consumers alike in the variance of their own outcome, so that the heaviest spenders'
      noise does not decide.
held_out_errors: squared error in money of rows about the consumer's mean, of consumers held out: response by their
characteristics, own means and market. Fixed and market effects are refitted without them, variances are those of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg

from models.errors import PanelError
from models.hbmmm.characteristics import Characteristic
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.consumers import market_draws
from models.hbmmm.design import Design, build_design, feature_matrix
from models.hbmmm.laplace import Laplace, find_mode, fixed_precision
from models.hbmmm.problem import (
    CHUNK,
    Problem,
    build_problem,
    centred_gram,
    consumer_row_means,
    log_posterior,
    prior_table,
)
from models.hbmmm.statistics import SufficientStatistics
from models.transforms.adstock import carried_panel

Candidate = tuple[
    float, ...
]  # a decay for each of the panel's channels; or that, then a factor of each one's bend


def transforms(candidate: Sequence[float], channels_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Decays and bend factors of a candidate, (C,) each; factors are 1 where it names none."""
    values = np.array(candidate, dtype=float)
    factors = values[channels_count:]
    return values[:channels_count], factors if len(factors) else np.ones(channels_count)


def candidate_statistics(panel: Any, candidate: Sequence[float]) -> SufficientStatistics:
    """Statistics with adstock in the place of exposures and bends as the candidate has them.

    Raises PanelError for a candidate of another length than the panel's channels ask for.
    """
    decays, factors = transforms(candidate, len(panel.channel_ids))
    if len(decays) != len(factors):
        raise PanelError(
            f"got the candidate {list(candidate)} for the channels {list(panel.channel_ids)}; give each channel a "
            "decay, and after them each channel a bend factor or none."
        )
    return SufficientStatistics.from_panel(carried_panel(panel, decays), panel.exposure_bends * factors)


@dataclass(frozen=True, slots=True, eq=False)
class CandidateScore:
    """candidate; log_evidence up to a constant of the panel; mode (d,) of it."""

    candidate: Candidate
    log_evidence: float
    mode: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """What all candidates of one panel are scored with.

    panel: of raw exposures. plain: its statistics without carry-over. completed: characteristics without gaps, rows in
    the order of the statistics. folds (N,): which part of the consumers each is held out with. noise_strata: groups by
    variance of the own outcome; None keeps the strata of spend.
    """

    panel: Any
    plain: SufficientStatistics
    characteristics: tuple[Characteristic, ...]
    completed: pd.DataFrame
    config: HBMMMConfig
    folds: np.ndarray
    noise_strata: int | None = 10

    def score(self, candidate: Sequence[float], start: np.ndarray | None = None) -> CandidateScore:
        """Score a candidate. start: a mode to search from, left aside if its size differs.

        Raises PanelError for a candidate that does not fit the panel and ConvergenceError when no mode is found.
        """
        problem = self._problem(candidate)[1]
        prior_sd = prior_table(problem.design, len(problem.strata), self.config)[1]

        def density(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            return log_posterior(problem, parameters, prior_sd, self.config.prior_slope_correlation)

        start = start if start is not None and len(start) == len(prior_sd) else None
        laplace = find_mode(problem, prior_sd, density, start)
        evidence = laplace_log_evidence(problem, laplace, density(laplace.mode)[0])
        return CandidateScore(tuple(float(v) for v in candidate), evidence, laplace.mode)

    def held_out(self, score: CandidateScore) -> np.ndarray:
        """Squared money error by consumer, (N,), of a scored candidate; its rows are rows_count - 1 a consumer."""
        statistics, problem = self._problem(score.candidate)
        return held_out_errors(statistics, problem, self.completed, score.mode, self.config, self.folds)

    def _problem(self, candidate: Sequence[float]) -> tuple[SufficientStatistics, Problem]:
        statistics = candidate_statistics(self.panel, candidate)
        if self.noise_strata is not None:
            statistics = replace(statistics, spend_stratum=variance_strata(statistics, self.noise_strata))
        design = _without_own_levels(
            candidate_design(statistics, self.plain, self.characteristics, self.config)
        )
        return statistics, build_problem(statistics, design, self.completed)


def candidate_design(
    statistics: SufficientStatistics,
    plain: SufficientStatistics,
    characteristics: tuple[Characteristic, ...],
    config: HBMMMConfig,
) -> Design:
    """The design of adstocked statistics, exposure columns scaled to the within-consumer sd that `plain` gives them.

    plain: statistics of the same panel without carry-over, whose own design is unchanged by this; the sizes of slopes,
    on which priors of their differences rest, are its own for every candidate.
    """
    design, first = (build_design(s, characteristics, config) for s in (statistics, plain))
    now, before = _within_shares(statistics), _within_shares(plain)
    names = [c.name for c in plain.columns]
    factors = np.ones(len(design.row_columns))
    for i, column in enumerate(design.row_columns):
        if column.kind in ("exposure", "exposure_log1p"):
            there = before[names.index(column.name)]
            if there > 0 and now[column.source] > 0:
                factors[i] = there / now[column.source]
    rows = tuple(replace(c, scale=c.scale / f) for c, f in zip(design.row_columns, factors, strict=True))
    means = tuple(
        replace(m, centre=m.centre * f, scale=m.scale * f)
        for m, f in ((m, float(np.prod(factors[list(m.row_columns)]))) for m in design.means)
    )
    is_same = len(first.slope_sizes) == len(design.slope_sizes)
    sizes = first.slope_sizes if is_same else design.slope_sizes
    return replace(design, row_columns=rows, means=means, slope_sizes=sizes)


def variance_strata(statistics: SufficientStatistics, count: int) -> np.ndarray:
    """Labels of `count` groups of consumers, equally large, by variance of the own outcome, (N,)."""
    m = len(statistics.columns)
    rows = statistics.rows_count
    square = statistics.packed[:, -1] - statistics.packed[:, m - 1] ** 2 / rows
    variance = np.maximum(square, 0.0) / np.maximum(rows - 1, 1)
    rank = np.argsort(np.argsort(variance, kind="stable"), kind="stable")
    return np.array([f"variance {g:03d}" for g in rank * count // len(rank)], dtype=object)


def laplace_log_evidence(problem: Problem, laplace: Laplace, height: float) -> float:
    """Laplace's log marginal likelihood; height: log posterior density (with constants) at the mode.

    Signed standard deviations have a second, mirrored mode; where the two are apart (mode above two widths; nearer
    to zero the covariance covers both) it doubles the mass.
    """
    d = len(laplace.mode)
    value = height + 0.5 * d * np.log(2.0 * np.pi) + 0.5 * np.linalg.slogdet(laplace.covariance)[1]
    width = np.sqrt(np.diag(laplace.covariance))
    for part in (problem.layout.consumer, problem.layout.market):
        value += np.log(2.0) * float((laplace.mode[part] > 2.0 * width[part]).sum())
    return float(value)


def held_out_errors(
    statistics: SufficientStatistics,
    problem: Problem,
    completed: pd.DataFrame,
    mode: np.ndarray,
    config: HBMMMConfig,
    folds: np.ndarray,
) -> np.ndarray:
    """Squared money error of each consumer's rows about its own mean, (N,), fitted on the other folds' consumers."""
    design = problem.design
    # strata are pooled before consumers leave, and once more where few are left of one
    labels = np.asarray(problem.strata, dtype=object)[problem.by_consumer(problem.stratum)]
    statistics = replace(statistics, spend_stratum=labels)
    features = feature_matrix(design, consumer_row_means(statistics, design), completed)
    errors = np.empty(len(features))
    for fold in np.unique(folds):
        inside = folds == fold
        kept = np.flatnonzero(~inside)
        train = build_problem(statistics.subset(kept), design, completed.iloc[kept])
        strata = [problem.strata.index(name) for name in train.strata]
        parameters = np.concatenate([mode[strata], mode[len(problem.strata) :]])
        prior_sd = prior_table(design, len(train.strata), config)[1]
        precision, right = fixed_precision(train, parameters, prior_sd)
        parameters[train.layout.fixed] = linalg.solve(precision, right, assume_a="pos")
        market = market_draws(train, parameters[None], None)[0]
        for start in range(0, int(inside.sum()), CHUNK):
            chosen = np.flatnonzero(inside)[start : start + CHUNK]
            errors[chosen] = _errors(
                statistics, design, chosen, features[chosen], parameters[train.layout.fixed], market
            )
    return errors * design.outcome_scale**2


def _errors(
    statistics: SufficientStatistics,
    design: Design,
    consumers: np.ndarray,
    features: np.ndarray,
    fixed: np.ndarray,
    market: np.ndarray,
) -> np.ndarray:
    """Squared scaled errors about the consumers' means, (n,), from their Gram matrices."""
    width = len(design.row_columns)
    coefficients = np.tile(fixed[:width], (len(consumers), 1))
    for (column, feature), value in zip(design.moderators, fixed[width:], strict=True):
        coefficients[:, column] += features[:, feature] * value
    coefficients[:, list(design.market_columns)] += market[statistics.market_index[consumers]]
    gram = centred_gram(statistics, design, consumers)
    slopes = coefficients[:, 1:]
    square = gram[:, -1, -1] - gram[:, 0, -1] ** 2 / statistics.rows_count[consumers]
    fitted = np.einsum("na,nab,nb->n", slopes, gram[:, 1:-1, 1:-1], slopes)
    return square - 2.0 * np.einsum("na,na->n", slopes, gram[:, 1:-1, -1]) + fitted


def _within_shares(statistics: SufficientStatistics) -> np.ndarray:
    """Within-consumer sd over total sd of each column, (m,); 0 where a column is constant."""
    m = len(statistics.columns)
    diagonal = np.cumsum([0, *range(m, 1, -1)])
    squares, sums = statistics.packed[:, diagonal], statistics.packed[:, :m]
    rows = statistics.rows_count[:, None]
    within = (squares - sums**2 / rows).sum(axis=0)
    total = squares.sum(axis=0) - sums.sum(axis=0) ** 2 / rows.sum()
    share = np.divide(within, total, out=np.zeros(m), where=total > 1e-9 * squares.sum(axis=0))
    return np.sqrt(np.maximum(share, 0.0))


def _without_own_levels(design: Design) -> Design:
    """Without own means in the intercept equation."""
    known = len(design.characteristics)
    return replace(design, moderators=tuple((c, f) for c, f in design.moderators if c > 0 or f < known))
