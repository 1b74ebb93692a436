"""Neural Granger causality, component-wise recurrent networks: cLSTM of Tank et al. (TPAMI 2022, section 3.2).

Every target has a long short-term memory of its own that reads all nodes period by period; a group lasso on the
weights with which a source enters its gates, applied as a proximal step, sets whole sources to zero. No lag order has
to be chosen. All shops and targets are trained at once, nothing is shared between them. The caller chooses the number
of torch threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.baselines.graph_base import EdgeScores, standardised
from models.baselines.proximal_descent import descend, source_norms
from models.shops.panel import ShopPanel


@dataclass(frozen=True, kw_only=True)
class RecurrentNeuralGranger:
    """hidden: units of the memory. penalty: weight of the group lasso on standardised series.

    ridge: weight of the squares of what reads the memory; without it, weights move there and escape the lasso.
    stretch: periods of a piece; the memory begins empty in each, as its authors cut long series.
    """

    hidden: int = 10
    penalty: float = 0.15
    ridge: float = 0.03
    learning_rate: float = 0.1
    steps: int = 300
    stretch: int = 30
    seed: int = 0

    def score_edges(self, panel: ShopPanel, progress: Callable[[str], None] | None = None) -> EdgeScores:
        """Score by the norm of a source's weights into the gates; present where it is not zero.

        Raises ValueError where the panel has fewer than 2 periods more than a stretch needs.
        """
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        series = torch.tensor(standardised(panel.values), dtype=torch.float32)
        shops, periods, nodes = series.shape
        stretch = min(self.stretch, periods - 1)
        if stretch < 2:
            raise ValueError(f"{periods} periods leave nothing to remember; give 3 or more.")
        pieces = (periods - 1) // stretch
        first_period = periods - 1 - pieces * stretch
        read = series[:, first_period:-1].unflatten(1, (pieces, stretch))
        targets = series[:, first_period + 1 :].unflatten(1, (pieces, stretch))
        units = self.hidden

        def loss(weights):
            inward, bias, recurrent, outward, level = weights
            into = inward.permute(0, 2, 1, 3).reshape(shops, nodes, nodes * 4 * units)
            entering = (read.flatten(1, 2) @ into).view(shops, pieces, stretch, nodes, 4 * units)
            entering = (
                entering.permute(2, 0, 3, 1, 4) + bias[:, :, None]
            )  # (period, shop, target, piece, gates)
            memory = hidden = torch.zeros(shops, nodes, pieces, units)
            said = []
            for now in entering:
                gates = now + hidden @ recurrent
                keep, write, show = torch.sigmoid(gates[..., : 3 * units]).chunk(3, -1)
                memory = keep * memory + write * torch.tanh(gates[..., 3 * units :])
                hidden = show * torch.tanh(memory)
                said.append((hidden @ outward[..., None])[..., 0] + level[..., None])  # (shop, target, piece)
            error = torch.stack(said) - targets.permute(2, 0, 3, 1)
            return (error**2).mean(dim=(0, 3)) + self.ridge * (outward**2).sum(-1)

        def drawn(*shape, scale):
            return torch.randn(shops, nodes, *shape, generator=generator) * scale

        weights = [
            drawn(nodes, 4 * units, scale=nodes**-0.5),
            torch.zeros(shops, nodes, 4 * units),
            drawn(units, 4 * units, scale=units**-0.5),
            drawn(units, scale=units**-0.5),
            torch.zeros(shops, nodes),
        ]
        found = descend(weights, loss, self.penalty, self.learning_rate, self.steps, progress, "cLSTM")
        score = source_norms(found[0]).double().numpy()
        return EdgeScores(score, score > 0, "ngc_clstm")
