"""A simulated panel of shops together with what generated it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.shops.panel import ShopPanel


@dataclass(frozen=True, slots=True, eq=False)
class ShopWorld:
    """Simulated shops and their truth; edges are [shop, source, target].

    kernel: (N, D, D, K) weight of the source's values 1, ..., K periods ago in the target's equation; zero without
        an edge.
    graph: (N, D, D) bool.
    structure: (N,) int, which shared structure a shop has.
    """

    panel: ShopPanel
    kernel: np.ndarray
    graph: np.ndarray
    structure: np.ndarray

    @property
    def lag(self) -> np.ndarray:
        """(N, D, D) mean lag in periods, weighted by absolute weights; NaN without an edge."""
        weight = np.abs(self.kernel)
        with np.errstate(invalid="ignore"):
            return (weight * np.arange(1, weight.shape[-1] + 1)).sum(-1) / weight.sum(-1)

    @property
    def sign(self) -> np.ndarray:
        """(N, D, D) sign of the weights' sum; NaN without an edge."""
        return np.where(self.graph, np.sign(self.kernel.sum(-1)), np.nan)

    def shops(self, keep: np.ndarray) -> ShopWorld:
        """The shops at these positions."""
        return ShopWorld(self.panel.shops(keep), self.kernel[keep], self.graph[keep], self.structure[keep])
