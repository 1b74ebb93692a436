"""Bayes factor of each source's lag window in the full regression, by Zellner's g-prior with unit information.

    BF = (1 + g)^((M - p0 - K) / 2) / (1 + g RSS_full / RSS_without)^((M - p0) / 2),   g = M rows,

p0 the columns without the window (Liang et al. 2008, section 2.1). The outcome is turned into normal scores first, so
that a rising curve on it does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.baselines.graph_base import EdgeScores, full_regressions
from models.shops.panel import ShopPanel
from models.transforms.lag_windows import normal_scores


@dataclass(frozen=True, kw_only=True)
class GrangerBayesFactor:
    """edge_share: prior share of edges; an edge is present where it is likelier than not. Scores are log odds."""

    lags_count: int = 7
    edge_share: float = 0.15

    def score_edges(self, panel: ShopPanel) -> EdgeScores:
        """Score by posterior log odds, each window alone against the full regression.

        Raises
        ------
        ValueError : too few rows for the full regression.
        """
        values = panel.values.copy()
        values[:, :, panel.outcome_index] = normal_scores(values[:, :, panel.outcome_index], axis=1)
        fit = full_regressions(values, self.lags_count)
        without = fit.columns - fit.lags_count
        left = fit.residual[:, None] / (fit.residual[:, None] + fit.explained)
        log_factor = 0.5 * (fit.rows - fit.columns) * np.log1p(fit.rows)
        log_factor = log_factor - 0.5 * (fit.rows - without) * np.log1p(fit.rows * left)
        odds = log_factor + np.log(self.edge_share) - np.log1p(-self.edge_share)
        return EdgeScores(odds, odds > 0, "granger_bayes_factor")
