"""What every graph baseline shares: a panel of shops in, one score for each edge of each shop out.

A baseline is a frozen dataclass of settings with `score_edges(panel) -> EdgeScores`. Scores need be on no particular
scale; `present` is what the baseline itself would call an edge, without a threshold chosen on known graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.shops.panel import ShopPanel
from models.transforms.lag_windows import lag_windows


@dataclass(frozen=True, slots=True, eq=False)
class EdgeScores:
    """score: (N, D, D) [shop, source, target], higher for likelier edges. present: (N, D, D) bool or None."""

    score: np.ndarray
    present: np.ndarray | None
    method: str


class GraphBaseline(Protocol):
    """Settings that score edges."""

    def score_edges(self, panel: ShopPanel) -> EdgeScores:
        """Score every pair of nodes of every shop."""


@dataclass(frozen=True, slots=True, eq=False)
class FullRegressions:
    """Least squares of every target on the lag windows of all nodes, shop by shop.

    explained: (N, D, D) residual sum of squares that a source's window takes off, [shop, source, target].
    residual: (N, D) what is left. rows, columns: of a regression, the intercept among the columns.
    """

    explained: np.ndarray
    residual: np.ndarray
    rows: int
    columns: int
    lags_count: int


def full_regressions(values: np.ndarray, lags_count: int) -> FullRegressions:
    """values: (N, T, D), centred or not.

    Raises
    ------
    ValueError : there are not clearly more rows than columns, so that nothing would be left to compare with.
    """
    windows = lag_windows(values, lags_count)
    shops, rows, nodes, _ = windows.shape
    columns = nodes * lags_count + 1
    if rows < columns + 10:
        raise ValueError(
            f"{rows} rows for {columns} columns: a regression on {lags_count} lags of all {nodes} nodes leaves "
            "nothing to compare with. Hand over more periods, take fewer lags, or use the classical level."
        )
    design = windows.reshape(shops, rows, -1)
    design = design - design.mean(axis=1, keepdims=True)
    targets = values[:, lags_count:] - values[:, lags_count:].mean(axis=1, keepdims=True)
    gram = design.transpose(0, 2, 1) @ design
    gram += 1e-10 * np.trace(gram, axis1=1, axis2=2)[:, None, None] / gram.shape[1] * np.eye(gram.shape[1])
    inverse = np.linalg.inv(gram)
    slopes = inverse @ (design.transpose(0, 2, 1) @ targets)  # (N, D K, D)
    residual = ((targets - design @ slopes) ** 2).sum(axis=1)
    blocks = inverse.reshape(shops, nodes, lags_count, nodes, lags_count)
    own = blocks[:, np.arange(nodes), :, np.arange(nodes), :].transpose(1, 0, 2, 3)  # (N, D, K, K)
    by_node = slopes.reshape(shops, nodes, lags_count, nodes)
    explained = (by_node * np.linalg.solve(own, by_node)).sum(axis=2)
    return FullRegressions(explained, residual, rows, columns, lags_count)


def standardised(values: np.ndarray) -> np.ndarray:
    """values (N, T, D) with mean 0 and sd 1 in every shop and node; constant series become 0."""
    sd = values.std(axis=1, keepdims=True)
    return (values - values.mean(axis=1, keepdims=True)) / np.where(sd > 1e-12, sd, 1.0)
