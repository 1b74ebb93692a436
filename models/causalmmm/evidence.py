"""Evidence that the encoder of the level `mediamix` reads: log odds of every edge by the classical level.

Any function of a panel that returns (N, D, D, F) with a log odds as its first feature can stand in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.causalmmm.classical import ClassicalFit, fit_classical
from models.causalmmm.classical_config import ClassicalConfig
from models.shops.panel import ShopPanel

FURTHEST = 1e-4  # probabilities are kept this far from 0 and 1


@dataclass(frozen=True, slots=True, eq=False)
class ClassicalEvidence:
    """Fitted on one panel; shops of other panels are scored by that fit, which learns nothing from them."""

    fit: ClassicalFit
    panel: ShopPanel

    @classmethod
    def learn(cls, panel: ShopPanel, lags: int, config: ClassicalConfig | None = None) -> ClassicalEvidence:
        """Fit the classical level with the network's lags."""
        return cls(fit_classical(panel, replace(config or ClassicalConfig(), lags_count=lags)), panel)

    def __call__(self, panel: ShopPanel) -> np.ndarray:
        """(N, D, D, 1) log odds, 0 where no edge is allowed."""
        posterior = self.fit.posterior if panel is self.panel else self.fit.score(panel)
        probability = posterior.edge_probability.clip(FURTHEST, 1 - FURTHEST)
        return np.where(panel.allowed, np.log(probability / (1 - probability)), 0.0)[..., None]
