"""Neural Granger causality, component-wise multilayer perceptrons: cMLP of Tank et al. (TPAMI 2022).

Every target has its own network on the lag windows of all nodes; a group lasso on the first layer's weights of each
source, applied as a proximal step, sets whole sources to zero. All shops and targets are trained at once, nothing is
shared between them. The caller chooses the number of torch threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.baselines.graph_base import EdgeScores
from models.shops.panel import ShopPanel
from models.transforms.lag_windows import lag_windows


@dataclass(frozen=True, kw_only=True)
class NeuralGranger:
    """hidden: units of the one hidden layer. penalty: weight of the group lasso on standardised series."""

    lags_count: int = 7
    hidden: int = 8
    penalty: float = 0.1
    learning_rate: float = 0.1
    steps: int = 1_000
    seed: int = 0

    def score_edges(self, panel: ShopPanel, progress: Callable[[str], None] | None = None) -> EdgeScores:
        """Score by the norm of a source's weights; present where it is not zero."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        values = _standardised(panel.values)
        windows = lag_windows(values, self.lags_count)
        shops, rows, nodes, lags = windows.shape
        design = torch.tensor(windows.reshape(shops, rows, nodes * lags), dtype=torch.float32)
        targets = torch.tensor(values[:, lags:], dtype=torch.float32)
        first = (
            torch.randn(shops, nodes * lags, nodes * self.hidden, generator=generator) / (nodes * lags) ** 0.5
        )
        offset = torch.zeros(shops, 1, nodes * self.hidden)
        second = torch.randn(shops, 1, nodes, self.hidden, generator=generator) / self.hidden**0.5
        level = torch.zeros(shops, 1, nodes)
        weights = [one.requires_grad_() for one in (first, offset, second, level)]
        optimiser = torch.optim.SGD(
            weights, lr=self.learning_rate
        )  # proximal gradient: no other scaling of steps
        for step in range(self.steps):
            hidden = torch.relu(design @ first + offset).view(shops, rows, nodes, self.hidden)
            error = (hidden * second).sum(-1) + level - targets  # (shop, period, target)
            loss = (error**2).mean(dim=1).sum()  # shops and targets do not touch one another
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                groups = first.view(shops, nodes, lags, nodes, self.hidden)
                norm = groups.norm(dim=(2, 4), keepdim=True)
                groups.mul_(
                    torch.clamp(1 - self.learning_rate * self.penalty / norm.clamp_min(1e-12), min=0.0)
                )
            if progress and (step + 1) % 100 == 0:
                progress(f"cMLP step {step + 1} of {self.steps}: loss {float(loss) / (shops * nodes):.4f}")
        with torch.no_grad():
            score = first.view(shops, nodes, lags, nodes, self.hidden).norm(dim=(2, 4)).double().numpy()
        return EdgeScores(score, score > 0, "ngc_cmlp")


def _standardised(values: np.ndarray) -> np.ndarray:
    sd = values.std(axis=1, keepdims=True)
    return (values - values.mean(axis=1, keepdims=True)) / np.where(sd > 1e-12, sd, 1.0)
