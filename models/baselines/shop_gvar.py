"""Forecasts of generalised vector autoregression (GVAR, Marcinkevics & Vogt 2021), one network for all shops.

x^t = sum_k Psi_k(x^{t-k}) x^{t-k} + B c^t + a_n,   Psi_k a multilayer perceptron of the lag's values
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.baselines.shop_network import FittedShopNetwork, ShopNetworkSettings, fit_shop_network
from models.shops.panel import ShopPanel


class GvarStep(nn.Module):
    """One coefficient matrix a lag, drawn from that lag's values; known columns and the shop's level enter linearly."""

    def __init__(self, nodes: int, contexts: int, shops: int, settings: ShopNetworkSettings) -> None:
        super().__init__()
        lags, hidden = settings.window, settings.hidden
        self.first = nn.Parameter(torch.randn(lags, nodes, hidden) / nodes**0.5)
        self.offset = nn.Parameter(torch.zeros(lags, 1, hidden))
        self.second = nn.Parameter(0.01 * torch.randn(lags, hidden, nodes * nodes))
        self.matrix = nn.Parameter(0.01 * torch.randn(lags, 1, nodes * nodes))
        self.known = nn.Linear(contexts, nodes)
        self.level = nn.Embedding(shops, nodes)
        nn.init.zeros_(self.level.weight)

    def forward(self, values: Tensor, known: Tensor, shops: Tensor) -> Tensor:
        """(n, W, D), (n, W, C), (n,) -> (n, 1, D): the period after the window."""
        by_lag = values.transpose(0, 1)  # (lag, n, node)
        psi = torch.relu(by_lag @ self.first + self.offset) @ self.second + self.matrix
        psi = psi.unflatten(-1, (values.shape[2], values.shape[2]))  # (lag, n, target, source)
        said = (psi @ by_lag[..., None])[..., 0].sum(0)
        return (said + self.known(known[:, -1]) + self.level(shops)).unsqueeze(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopGVAR(ShopNetworkSettings):
    """Settings of the GVAR baseline; every lag has a network, so its window is short."""

    window: int = 7

    def fit(self, panel: ShopPanel) -> FittedShopNetwork:
        """Train on the panel."""
        return fit_shop_network(panel, self, GvarStep, "gvar")
