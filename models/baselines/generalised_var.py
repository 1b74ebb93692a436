"""Generalised vector autoregression: GVAR of Marcinkevics and Vogt (ICLR 2021), a network per lag and shop.

    x^t = sum_k Psi_k(x^{t-k}) x^{t-k} + e^t

Matrices Psi_k come from one multilayer perceptron per lag; their entries are kept small and smooth in time. An edge's
strength is the largest, over lags, of the median over periods of |Psi_k|. Edges are cut at the quantile of strengths
where the graph agrees best with the one learned from the reversed series. Nothing is shared between shops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.baselines.graph_base import EdgeScores, standardised
from models.shops.panel import ShopPanel
from models.transforms.lag_windows import lag_windows


@dataclass(frozen=True, kw_only=True)
class GeneralisedVar:
    """sparsity, smoothness: weights of the mean |Psi| and of the mean squared change of Psi from period to period."""

    lags_count: int = 7
    hidden: int = 16
    sparsity: float = 0.1
    smoothness: float = 0.01
    learning_rate: float = 0.005
    steps: int = 300
    seed: int = 0

    def score_edges(self, panel: ShopPanel, progress: Callable[[str], None] | None = None) -> EdgeScores:
        """Score by strength; present above the stable quantile."""
        values = standardised(panel.values)
        forward = self._strengths(values, progress)
        backward = self._strengths(values[:, ::-1], progress).transpose(0, 2, 1)
        present = np.stack([_stable(one, other) for one, other in zip(forward, backward, strict=True)])
        return EdgeScores(forward, present, "gvar")

    def _strengths(self, values: np.ndarray, progress: Callable[[str], None] | None) -> np.ndarray:
        """(N, D, D) [shop, source, target]."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        lags = self.lags_count
        past = torch.tensor(lag_windows(values, lags).transpose(0, 3, 1, 2).copy(), dtype=torch.float32)
        shops, _, rows, nodes = past.shape  # (shop, lag, period, node)
        targets = torch.tensor(values[:, lags:].copy(), dtype=torch.float32)
        first = torch.randn(shops, lags, nodes, self.hidden, generator=generator) / nodes**0.5
        offset = torch.zeros(shops, lags, 1, self.hidden)
        second = (
            0.1 * torch.randn(shops, lags, self.hidden, nodes * nodes, generator=generator) / self.hidden**0.5
        )
        level = torch.zeros(shops, lags, 1, nodes * nodes)
        weights = [one.requires_grad_() for one in (first, offset, second, level)]
        optimiser = torch.optim.Adam(weights, lr=self.learning_rate)
        for step in range(self.steps):
            psi = torch.relu(past @ first + offset) @ second + level
            psi = psi.view(shops, lags, rows, nodes, nodes)  # (shop, lag, period, target, source)
            error = (psi @ past[..., None])[..., 0].sum(dim=1) - targets
            loss = (error**2).mean(dim=(1, 2)) + self.sparsity * psi.abs().mean(dim=(1, 2, 3, 4)) * lags
            loss = loss + self.smoothness * (psi[:, :, 1:] - psi[:, :, :-1]).square().mean(dim=(1, 2, 3, 4))
            optimiser.zero_grad()
            loss.sum().backward()
            optimiser.step()
            if progress and (step + 1) % 100 == 0:
                progress(f"GVAR step {step + 1} of {self.steps}: loss {float(loss.mean()):.4f}")
        with torch.no_grad():
            strength = psi.abs().median(dim=2).values.amax(dim=1)
        return strength.double().numpy().transpose(0, 2, 1)


def _stable(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """(D, D) bool: forward strengths above the quantile at which both directions agree best (balanced accuracy)."""
    pairs = ~np.eye(len(forward), dtype=bool)
    best, chosen = -1.0, pairs
    for quantile in np.linspace(0.05, 0.95, 19):
        ours = forward[pairs] > np.quantile(forward[pairs], quantile)
        theirs = backward[pairs] > np.quantile(backward[pairs], quantile)
        agreement = 0.5 * ((ours & theirs).sum() / theirs.sum() + (~ours & ~theirs).sum() / (~theirs).sum())
        if agreement > best:
            best, chosen = agreement, pairs & (forward > np.quantile(forward[pairs], quantile))
    return chosen
