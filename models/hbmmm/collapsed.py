"""The posterior of the variances alone: consumer, market and fixed effects integrated out exactly.

Because row columns are centred within consumers (problem.centred_gram) and a consumer's intercept is independent of
its slopes, the rows' mean direction and the rest are two independent regressions given the variances:

    mean direction   sqrt(T) ybar_i ~ N(sqrt(T) (f_i' omega_0 + m_j0), s2 + T sa^2), grouped by (market, stratum, T)
    within           yc_i ~ N(Dc_i (d + M_i omega) + Rc_i m_j, s2 I + Xc S Xc'), T - 1 dimensions

Both are linear and Gaussian in fixed and market effects, which are integrated by Schur complements of sums over
consumers (studies/hbmmm.md, section 2). The mean direction costs nothing per consumer; within costs one pass
(collapsed_kernel.py). Parameters: [log noise sd per stratum, signed consumer sd (k), correlation values, signed
market sd (r)], the leading entries of the full parameter vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg

from models.hbmmm import correlation
from models.hbmmm.collapsed_kernel import LANES, slope_pass_of, work_arrays
from models.hbmmm.design import Design, feature_matrix
from models.hbmmm.problem import CHUNK, centred_gram, consumer_row_means
from models.hbmmm.statistics import SufficientStatistics
from models.hbmmm.strata import pooled_strata


@dataclass(frozen=True, slots=True, eq=False)
class MeanDirection:
    """Sums over groups of consumers with one market, stratum and number of rows T, on features [1, f] (p0).

    rows, stratum, market, count (G,); cross (G, p0, p0) = sum f f'; outcome (G, p0) = sum f ybar; square (G,).
    """

    rows: np.ndarray
    stratum: np.ndarray
    market: np.ndarray
    count: np.ndarray
    cross: np.ndarray
    outcome: np.ndarray
    square: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class CollapsedProblem:
    """Constants of the collapsed posterior of one completed data set; see collapsed_kernel.py for the blocks.

    fixed_order: position of the collapsed order [intercept, its moderators, columns, slope moderators] in the full one.
    column, feature (p,): row column (of the d, intercept left out) and feature of each fixed slope coefficient.
    slope_columns, market_columns: random slopes of consumers and of markets among the d.
    within_rows, within_square (strata,): sum of T - 1 and of yc'yc.
    """

    strata: tuple[str, ...]
    markets_count: int
    slopes_count: int
    correlations_count: int
    market_scales_count: int
    fixed_order: np.ndarray
    mean: MeanDirection
    gram: np.ndarray
    outcome: np.ndarray
    stratum: np.ndarray
    block_market: np.ndarray
    features: np.ndarray
    slope_columns: np.ndarray
    market_columns: np.ndarray
    column: np.ndarray
    feature: np.ndarray
    within_rows: np.ndarray
    within_square: np.ndarray

    @property
    def dimension(self) -> int:
        """Number of variance parameters."""
        return len(self.strata) + self.slopes_count + 1 + self.correlations_count + self.market_scales_count


def build_collapsed(
    statistics: SufficientStatistics, design: Design, completed: pd.DataFrame
) -> CollapsedProblem:
    """Arrange the statistics and a completed characteristics frame (rows in the order of the statistics)."""
    width = len(design.row_columns) - 1
    features = feature_matrix(design, consumer_row_means(statistics, design), completed)
    strata, stratum = pooled_strata(statistics.spend_stratum, statistics.packed[:, -1])
    moderators = np.array(design.moderators, dtype=np.int64).reshape(-1, 2)
    of_intercept = moderators[:, 0] == 0
    used = np.unique(moderators[~of_intercept, 1])
    values = np.column_stack([np.ones(len(features)), features[:, used]])
    column = np.concatenate([np.arange(width), moderators[~of_intercept, 0] - 1])
    feature = np.concatenate(
        [np.zeros(width, dtype=np.int64), 1 + np.searchsorted(used, moderators[~of_intercept, 1])]
    )
    # the full vector of fixed coefficients is [intercept, d columns, omega of the intercept, omega of the slopes]
    p0 = int(of_intercept.sum())
    fixed_order = np.concatenate(
        [
            [0],
            1 + width + np.arange(p0),
            1 + np.arange(width),
            1 + width + p0 + np.arange(len(moderators) - p0),
        ]
    )
    intercept_features = np.column_stack([np.ones(len(features)), features[:, moderators[of_intercept, 1]]])
    blocks = _Blocks(statistics.market_index, len(statistics.market_ids))
    gram, outcome, square, mean_outcome = _arrange(statistics, design, blocks)
    features = blocks.empty(values.shape[1])
    blocks.put(features, slice(None), values)
    stratum_blocks = np.zeros((blocks.count, LANES), dtype=np.int64)
    stratum_blocks[blocks.block, blocks.lane] = stratum
    slopes = np.array(design.slope_columns[1:], dtype=np.int64) - 1
    rows = statistics.rows_count
    return CollapsedProblem(
        strata=tuple(strata.tolist()),
        markets_count=len(statistics.market_ids),
        slopes_count=len(slopes),
        correlations_count=len(slopes) * (len(slopes) - 1) // 2 if design.has_correlated_slopes else 0,
        market_scales_count=len(design.market_columns) if design.has_market_level else 0,
        fixed_order=fixed_order,
        mean=_mean_direction(statistics, stratum, intercept_features, mean_outcome),
        gram=gram,
        outcome=outcome,
        stratum=stratum_blocks,
        block_market=blocks.market,
        features=features,
        slope_columns=slopes,
        market_columns=np.array(design.market_columns[1:], dtype=np.int64) - 1,
        column=column,
        feature=feature,
        within_rows=np.bincount(stratum, weights=rows - 1.0, minlength=len(strata)),
        within_square=np.bincount(stratum, weights=square, minlength=len(strata)),
    )


class CollapsedPosterior:
    """Log posterior density of the variances and exact draws of the fixed coefficients given them.

    One object per thread: it holds work arrays. Priors as in problem.prior_table and correlation.log_prior.
    """

    def __init__(self, problem: CollapsedProblem, prior_sd: np.ndarray, concentration: float) -> None:
        """prior_sd: of the whole parameter vector, as in problem.prior_table."""
        self.problem = problem
        s, k, c = len(problem.strata), problem.slopes_count + 1, problem.correlations_count
        self.prior_sd = np.concatenate([prior_sd[: s + k], prior_sd[s + k + c : problem.dimension]])
        self.fixed_sd = prior_sd[problem.dimension :][problem.fixed_order]
        self.concentration = concentration
        d, m = problem.outcome.shape[1], problem.slopes_count
        count = problem.features.shape[1]
        pairs, products = d * (d + 1) // 2, count * (count + 1) // 2
        self._work = work_arrays(m, d, count)
        self._pass = slope_pass_of(m)
        pair, product = _triangle(d), _triangle(count)
        column, feature, markets = problem.column, problem.feature, problem.market_columns
        places = {
            "information": (pair[np.ix_(column, column)], product[np.ix_(feature, feature)]),
            "score": (pairs + column, product[0, feature]),
            "market_information": (
                pair[np.ix_(markets, markets)],
                np.zeros((len(markets),) * 2, dtype=np.int64),
            ),
            "market_cross": (
                pair[np.ix_(markets, column)],
                np.broadcast_to(product[0, feature], (len(markets), len(column))),
            ),
            "market_score": (pairs + markets, np.zeros(len(markets), dtype=np.int64)),
        }
        codes = {name: entry * products + number for name, (entry, number) in places.items()}
        wanted = np.unique(np.concatenate([code.ravel() for code in codes.values()]))
        self._at = {name: np.searchsorted(wanted, code) for name, code in codes.items()}
        self._entry, self._product = wanted // products, wanted % products
        edges = np.flatnonzero(np.diff(self._entry, prepend=-1, append=-1))
        self._runs = np.column_stack([edges[:-1], edges[1:]])
        self._pairs = pair
        self._sums = np.empty((problem.markets_count, len(wanted)))

    def evaluate(self, parameters: np.ndarray, rng: np.random.Generator | None = None) -> tuple:
        """(log density, a draw of the fixed coefficients in their full order; their mean where rng is None)."""
        p = self.problem
        s, k, c = len(p.strata), p.slopes_count + 1, p.correlations_count
        log_noise, scales = parameters[:s], parameters[s : s + k]
        z, market = parameters[s + k : s + k + c], parameters[s + k + c :]
        width = 1 + len(p.market_columns)
        if not len(market):
            market = np.zeros(width)
        others = np.concatenate([parameters[: s + k], parameters[s + k + c :]])
        value = -0.5 * np.sum((others / self.prior_sd) ** 2)
        value -= np.sum(np.log(self.prior_sd)) + 0.5 * len(others) * np.log(2 * np.pi)
        value += correlation.log_prior(z, p.slopes_count, self.concentration)[0] if c else 0.0
        inverse = np.exp(-2.0 * log_noise)
        split = p.mean.outcome.shape[1]
        first, mean0, root0 = self._mean_direction(inverse, scales[0], market[:1], self.fixed_sd[:split])
        second, mean1, root1 = self._within(log_noise, inverse, scales[1:], z, market[1:], split)
        fixed = np.empty(len(self.fixed_sd))
        parts = []
        for mean, root in ((mean0, root0), (mean1, root1)):
            noise = 0.0
            if rng is not None:
                noise = linalg.solve_triangular(root, rng.standard_normal(len(mean)), lower=True, trans="T")
            parts.append(mean + noise)
        fixed[p.fixed_order] = np.concatenate(parts)
        return float(value + first + second), fixed

    def _mean_direction(
        self, inverse: np.ndarray, scale: float, market_scale: np.ndarray, prior_sd: np.ndarray
    ) -> tuple:
        g = self.problem.mean
        variance = 1.0 / inverse[g.stratum] + g.rows * scale**2
        weight = g.rows / variance
        value = -0.5 * np.sum(g.count * np.log(2 * np.pi * variance)) - 0.5 * np.sum(weight * g.square)
        markets = self.problem.markets_count
        p = g.outcome.shape[1]
        information = np.tensordot(weight, g.cross, axes=1)
        score = weight @ g.outcome
        cross = np.zeros((markets, 1, p))
        np.add.at(cross[:, 0], g.market, weight[:, None] * g.cross[:, 0])
        info = np.bincount(g.market, weights=weight * g.count, minlength=markets)[:, None, None]
        market_score = np.bincount(g.market, weights=weight * g.outcome[:, 0], minlength=markets)[:, None]
        integral, mean, root = integrate_effects(
            information, score, info, cross, market_score, market_scale, prior_sd
        )
        return value + integral, mean, root

    def _within(
        self,
        log_noise: np.ndarray,
        inverse: np.ndarray,
        scales: np.ndarray,
        z: np.ndarray,
        market_scale: np.ndarray,
        split: int,
    ) -> tuple:
        p = self.problem
        factor = np.diag(scales)
        if len(z):
            factor = scales[:, None] * correlation.cholesky_factor(z, p.slopes_count)
        sums, at = self._sums, self._at
        log_det, quadratic = self._pass(
            p.gram, p.outcome, p.stratum, p.block_market, p.features, self._pairs, p.slope_columns, self._entry,
            self._product, self._runs, inverse, np.ascontiguousarray(factor), *self._work, sums,
        )  # fmt: skip
        value = -0.5 * (log_det + p.within_square @ inverse - quadratic)
        value -= p.within_rows @ (log_noise + 0.5 * np.log(2 * np.pi))
        total = sums.sum(axis=0)
        integral, mean, root = integrate_effects(
            total[at["information"]],
            total[at["score"]],
            sums[:, at["market_information"]],
            sums[:, at["market_cross"]],
            sums[:, at["market_score"]],
            market_scale,
            self.fixed_sd[split:],
        )
        return value + integral, mean, root


def integrate_effects(
    information: np.ndarray,
    score: np.ndarray,
    market_information: np.ndarray,
    market_cross: np.ndarray,
    market_score: np.ndarray,
    market_scale: np.ndarray,
    prior_sd: np.ndarray,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log integral of exp(-b'Hb/2 + g'b) over fixed effects b ~ N(0, prior) and market effects m_j ~ N(0, B^2).

    information H (p, p), score g (p,); by market: information (J, r, r), cross (J, r, p), score (J, r) of m_j.
    Returns (value, mean of b (p,), lower Cholesky factor of its precision (p, p)).
    """
    r = len(market_scale)
    inner = market_scale[:, None] * market_information * market_scale + np.eye(r)
    root = np.linalg.cholesky(inner)
    both = np.concatenate([market_cross, market_score[:, :, None]], axis=2) * market_scale[:, None]
    solved = np.linalg.solve(root, both)
    value = -np.log(np.diagonal(root, axis1=1, axis2=2)).sum() + 0.5 * np.sum(solved[:, :, -1] ** 2)
    flat = solved.reshape(-1, solved.shape[-1])
    correction = flat.T @ flat
    precision = information - correction[:-1, :-1]
    precision[np.diag_indices(len(prior_sd))] += prior_sd**-2.0
    chol = linalg.cholesky(precision, lower=True)
    half = linalg.solve_triangular(chol, score - correction[:-1, -1], lower=True)
    value += 0.5 * half @ half - np.log(np.diag(chol)).sum() - np.log(prior_sd).sum()
    return float(value), linalg.solve_triangular(chol, half, lower=True, trans="T"), chol


class _Blocks:
    """Where each consumer goes: blocks of LANES consumers of one market, the rest of a block empty."""

    def __init__(self, market_index: np.ndarray, markets_count: int) -> None:
        counts = np.bincount(market_index, minlength=markets_count)
        blocks = -(-counts // LANES)
        self.market = np.repeat(np.arange(markets_count), blocks)
        self.count = int(blocks.sum())
        order = np.argsort(market_index, kind="stable")
        within = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        place = np.repeat((np.cumsum(blocks) - blocks) * LANES, counts) + within
        where = np.empty(len(order), dtype=np.int64)
        where[order] = place
        self.block, self.lane = where // LANES, where % LANES

    def empty(self, width: int) -> np.ndarray:
        return np.zeros((self.count, width, LANES))

    def put(self, target: np.ndarray, consumers: slice, values: np.ndarray) -> None:
        target[self.block[consumers], :, self.lane[consumers]] = values


def _arrange(statistics: SufficientStatistics, design: Design, blocks: _Blocks) -> tuple:
    n, width = len(statistics.consumer_ids), len(design.row_columns) - 1
    upper = np.triu_indices(width)
    gram, outcome = blocks.empty(len(upper[0])), blocks.empty(width)
    square, mean_outcome = np.empty(n), np.empty(n)
    rows = statistics.rows_count
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        full = centred_gram(statistics, design, part)
        inner = full[:, 1:-1, 1:-1]
        blocks.put(gram, part, inner[:, upper[0], upper[1]])
        blocks.put(outcome, part, full[:, 1:-1, -1])
        mean_outcome[part] = full[:, 0, -1] / rows[part]
        square[part] = full[:, -1, -1] - full[:, 0, -1] ** 2 / rows[part]
    return gram, outcome, square, mean_outcome


def _mean_direction(
    statistics: SufficientStatistics, stratum: np.ndarray, features: np.ndarray, mean_outcome: np.ndarray
) -> MeanDirection:
    keys = np.column_stack([statistics.market_index, stratum, statistics.rows_count])
    groups, inverse = np.unique(keys, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    order = np.argsort(inverse, kind="stable")
    starts = np.searchsorted(inverse[order], np.arange(len(groups)))
    sorted_features, sorted_outcome = features[order], mean_outcome[order]
    ends = np.append(starts[1:], len(order))
    cross = np.stack(
        [sorted_features[a:b].T @ sorted_features[a:b] for a, b in zip(starts, ends, strict=True)]
    )
    outcome = np.stack(
        [sorted_features[a:b].T @ sorted_outcome[a:b] for a, b in zip(starts, ends, strict=True)]
    )
    return MeanDirection(
        rows=groups[:, 2].astype(float),
        stratum=groups[:, 1].astype(np.int64),
        market=groups[:, 0].astype(np.int64),
        count=(ends - starts).astype(float),
        cross=cross,
        outcome=outcome,
        square=np.add.reduceat(sorted_outcome**2, starts),
    )


def _triangle(size: int) -> np.ndarray:
    """Index of each pair in a packed upper triangle, (size, size)."""
    out = np.zeros((size, size), dtype=np.int64)
    upper = np.triu_indices(size)
    out[upper] = np.arange(len(upper[0]))
    return np.maximum(out, out.T)
