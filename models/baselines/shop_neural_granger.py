"""Forecasts of neural Granger causality (NGC, Tank et al. 2022): a perceptron of its own for every target.

The group lasso on a source's first weights is a term of the loss here, without the proximal step that makes weights
exactly zero: a forecast has no use for zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.baselines.shop_network import FittedShopNetwork, ShopNetworkSettings, fit_shop_network
from models.shops.panel import ShopPanel


class NeuralGrangerStep(nn.Module):
    """One hidden layer a target over all lags of all nodes; known columns and the shop's level join behind it."""

    def __init__(self, nodes: int, contexts: int, shops: int, settings: ShopNeuralGranger) -> None:
        super().__init__()
        self.weight = settings.penalty
        self.first = nn.Parameter(
            torch.randn(nodes, nodes, settings.window, settings.hidden) / (nodes * settings.window) ** 0.5
        )  # (target, source, lag, unit)
        self.offset = nn.Parameter(torch.zeros(nodes, settings.hidden))
        self.second = nn.Parameter(torch.randn(nodes, settings.hidden) / settings.hidden**0.5)
        self.known = nn.Linear(contexts, nodes)
        self.level = nn.Embedding(shops, nodes)
        nn.init.zeros_(self.level.weight)

    def forward(self, values: Tensor, known: Tensor, shops: Tensor) -> Tensor:
        """(n, W, D), (n, W, C), (n,) -> (n, 1, D): the period after the window."""
        hidden = torch.relu(torch.einsum("nkd,jdku->nju", values, self.first) + self.offset)
        said = (hidden * self.second).sum(-1)
        return (said + self.known(known[:, -1]) + self.level(shops)).unsqueeze(1)

    def penalty(self) -> Tensor:
        """Weight of the group lasso times the sum of the norms."""
        return self.weight * self.first.flatten(2).norm(dim=-1).sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopNeuralGranger(ShopNetworkSettings):
    """Settings of the NGC baseline. penalty: of the group lasso, on scaled series."""

    window: int = 7
    penalty: float = 1e-3

    def fit(self, panel: ShopPanel) -> FittedShopNetwork:
        """Train on the panel."""
        return fit_shop_network(panel, self, NeuralGrangerStep, "neural_granger")
