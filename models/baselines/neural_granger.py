"""Neural Granger causality, component-wise multilayer perceptrons: cMLP of Tank et al. (TPAMI 2022, section 3.1).

Every target has its own network on the lag windows of all nodes; a group lasso on the first layer's weights of each
source, applied as a proximal step, sets whole sources to zero. All shops and targets are trained at once, nothing is
shared between them. The caller chooses the number of torch threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.baselines.graph_base import EdgeScores, standardised
from models.baselines.proximal_descent import descend, source_norms
from models.shops.panel import ShopPanel
from models.transforms.lag_windows import lag_windows


@dataclass(frozen=True, kw_only=True)
class NeuralGranger:
    """hidden: units of the one hidden layer. penalty: weight of the group lasso on standardised series.

    ridge: weight of the later layer's squares; without it, weights move there and escape the lasso.
    """

    lags_count: int = 7
    hidden: int = 8
    penalty: float = 0.5
    ridge: float = 0.1
    learning_rate: float = 0.1
    steps: int = 1_000
    seed: int = 0

    def score_edges(self, panel: ShopPanel, progress: Callable[[str], None] | None = None) -> EdgeScores:
        """Score by the norm of a source's weights; present where it is not zero."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        values = standardised(panel.values)
        windows = lag_windows(values, self.lags_count)
        shops, rows, nodes, lags = windows.shape
        design = torch.tensor(windows.reshape(shops, rows, nodes * lags), dtype=torch.float32)
        targets = torch.tensor(values[:, lags:], dtype=torch.float32)

        def loss(weights):
            first, offset, second, level = weights
            into = first.permute(0, 2, 3, 1, 4).reshape(shops, nodes * lags, nodes * self.hidden)
            hidden = torch.relu((design @ into).unflatten(-1, (nodes, self.hidden)) + offset[:, None])
            error = (hidden * second[:, None]).sum(-1) + level[:, None] - targets
            return (error**2).mean(dim=1) + self.ridge * (second**2).sum(-1)

        def drawn(*shape, scale):
            return torch.randn(shops, nodes, *shape, generator=generator) * scale

        weights = [
            drawn(nodes, lags, self.hidden, scale=(nodes * lags) ** -0.5),
            torch.zeros(shops, nodes, self.hidden),
            drawn(self.hidden, scale=self.hidden**-0.5),
            torch.zeros(shops, nodes),
        ]
        found = descend(weights, loss, self.penalty, self.learning_rate, self.steps, progress, "cMLP")
        score = source_norms(found[0]).double().numpy()
        return EdgeScores(score, score > 0, "ngc_cmlp")
