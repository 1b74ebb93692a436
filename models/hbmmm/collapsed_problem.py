"""The data of the collapsed posterior (collapsed.py), arranged for its compiled passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.hbmmm.collapsed_kernel import LANES
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
