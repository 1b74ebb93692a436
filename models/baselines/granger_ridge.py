"""Linear Granger as Gong et al. (WSDM 2024) score it: norms of ridge coefficients of a VAR on standardised series.

A weak baseline by construction: norms are not comparable between targets once every series has unit variance. It is
kept because the paper's tables hold it; granger_f_test asks the same regression the right question.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.baselines.graph_base import EdgeScores
from models.shops.panel import ShopPanel
from models.transforms.lag_windows import lag_windows


@dataclass(frozen=True, kw_only=True)
class GrangerRidge:
    """penalty: ridge, in rows' worth of a unit variance column. The paper gives neither it nor the threshold: here an
    edge is present where its norm passes half of the shop's largest."""

    lags_count: int = 7
    penalty: float = 1.0

    def score_edges(self, panel: ShopPanel) -> EdgeScores:
        """Score by the norm of a source's coefficients."""
        values = panel.values - panel.values.mean(axis=1, keepdims=True)
        sd = values.std(axis=1, keepdims=True)
        values = values / np.where(sd > 1e-12, sd, 1.0)
        windows = lag_windows(values, self.lags_count)
        shops, rows, nodes, lags = windows.shape
        design = windows.reshape(shops, rows, -1)
        across = design.transpose(0, 2, 1)
        slopes = np.linalg.solve(
            across @ design + self.penalty * np.eye(nodes * lags), across @ values[:, lags:]
        )
        norm = np.linalg.norm(slopes.reshape(shops, nodes, lags, nodes), axis=2)
        others = norm * ~np.eye(nodes, dtype=bool)
        return EdgeScores(norm, others > 0.5 * others.max(axis=(1, 2), keepdims=True), "granger_ridge")
