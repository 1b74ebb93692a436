"""Granger's F-test of each source's lag window in the regression of each target on all windows (Granger 1969)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import f as f_distribution

from models.baselines.graph_base import EdgeScores, full_regressions
from models.shops.panel import ShopPanel


@dataclass(frozen=True, kw_only=True)
class GrangerFTest:
    """level: p-values below it are edges. Scores are -log p."""

    lags_count: int = 7
    level: float = 0.01

    def score_edges(self, panel: ShopPanel) -> EdgeScores:
        """Score by -log p.

        Raises
        ------
        ValueError : too few rows for the full regression.
        """
        fit = full_regressions(panel.values, self.lags_count)
        left = fit.rows - fit.columns
        ratio = (fit.explained / fit.lags_count) / (fit.residual[:, None] / left)
        log_p = f_distribution.logsf(ratio, fit.lags_count, left)
        return EdgeScores(-log_p, log_p < math.log(self.level), "granger_f_test")
