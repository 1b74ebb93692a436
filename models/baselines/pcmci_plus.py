"""PCMCI+ with partial correlations (Runge, UAI 2020), shop by shop, by the library of its author.

tigramite comes with the extra `pcmci` and is under the GNU General Public License; nothing else here needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.baselines.graph_base import EdgeScores
from models.shops.panel import ShopPanel


@dataclass(frozen=True, kw_only=True)
class PcmciPlus:
    """level: of every test of conditional independence."""

    lags_count: int = 7
    level: float = 0.01

    def score_edges(self, panel: ShopPanel, progress: Callable[[str], None] | None = None) -> EdgeScores:
        """Score by the largest absolute partial correlation over lags; present where a lag has a directed link.

        Raises ImportError where the extra `pcmci` is not installed.
        """
        try:
            from tigramite.data_processing import DataFrame
            from tigramite.independence_tests.parcorr import ParCorr
            from tigramite.pcmci import PCMCI
        except ImportError as error:
            raise ImportError(
                "PCMCI+ needs the library tigramite, which is not installed. Install mediamix[pcmci] (GNU General "
                "Public License), or compare with the other baselines."
            ) from error

        shops, _, nodes = panel.values.shape
        score = np.zeros((shops, nodes, nodes))
        present = np.zeros((shops, nodes, nodes), dtype=bool)
        for shop, values in enumerate(panel.values):
            search = PCMCI(DataFrame(np.ascontiguousarray(values)), ParCorr(), verbosity=0)
            found = search.run_pcmciplus(tau_min=0, tau_max=self.lags_count, pc_alpha=self.level)
            score[shop] = np.abs(found["val_matrix"][:, :, 1:]).max(axis=-1)
            present[shop] = (found["graph"][:, :, 1:] == "-->").any(axis=-1)
            if progress:
                progress(f"PCMCI+ shop {shop + 1} of {shops}")
        return EdgeScores(score, present, "pcmci_plus")
