"""LSTM (Hochreiter & Schmidhuber 1997) over all nodes of a shop, one network for all shops."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.baselines.shop_network import FittedShopNetwork, ShopNetworkSettings, fit_shop_network
from models.shops.panel import ShopPanel

SHOP_WIDTH = 4


class LSTMSteps(nn.Module):
    """State from the window, then one linear step; the shop enters by an embedding, the last value by a skip."""

    def __init__(self, nodes: int, contexts: int, shops: int, settings: ShopNetworkSettings) -> None:
        super().__init__()
        self.shop = nn.Embedding(shops, SHOP_WIDTH)
        self.cell = nn.LSTM(nodes + contexts + SHOP_WIDTH, settings.hidden, batch_first=True)
        self.out = nn.Linear(settings.hidden + contexts + SHOP_WIDTH + nodes, nodes)

    def forward(self, values: Tensor, known: Tensor, shops: Tensor) -> Tensor:
        """(n, W, D), (n, W, C), (n,) -> (n, W, D)."""
        shop = self.shop(shops).unsqueeze(1).expand(-1, values.shape[1], -1)
        state, _ = self.cell(torch.cat([values, known, shop], -1))
        return self.out(torch.cat([state, known, shop, values], -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopLSTM(ShopNetworkSettings):
    """Settings of the LSTM baseline."""

    def fit(self, panel: ShopPanel) -> FittedShopNetwork:
        """Train on the panel."""
        return fit_shop_network(panel, self, LSTMSteps, "lstm")
