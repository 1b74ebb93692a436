"""Wide & Deep (Cheng et al. 2016): a linear part over lags, crossed with the shop, beside an MLP with embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.baselines.shop_network import FittedShopNetwork, ShopNetworkSettings, fit_shop_network
from models.shops.panel import ShopPanel

SHOP_WIDTH = 8


class WideDeepStep(nn.Module):
    """Wide: linear in all lags and known columns, with each shop's own level. Deep: two layers of the same."""

    def __init__(self, nodes: int, contexts: int, shops: int, settings: ShopNetworkSettings) -> None:
        super().__init__()
        width = nodes * settings.window + contexts
        self.wide = nn.Linear(width, nodes)
        self.level = nn.Embedding(shops, nodes)
        self.shop = nn.Embedding(shops, SHOP_WIDTH)
        self.deep = nn.Sequential(
            nn.Linear(width + SHOP_WIDTH, settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, nodes),
        )
        nn.init.zeros_(self.level.weight)
        nn.init.normal_(self.wide.weight, std=0.01)

    def forward(self, values: Tensor, known: Tensor, shops: Tensor) -> Tensor:
        """(n, W, D), (n, W, C), (n,) -> (n, 1, D): the period after the window."""
        inputs = torch.cat([values.flatten(1), known[:, -1]], -1)
        wide = self.wide(inputs) + self.level(shops)
        return (wide + self.deep(torch.cat([inputs, self.shop(shops)], -1))).unsqueeze(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopWideDeep(ShopNetworkSettings):
    """Settings of the Wide & Deep baseline; its window is short, for every lag has a weight."""

    window: int = 7

    def fit(self, panel: ShopPanel) -> FittedShopNetwork:
        """Train on the panel."""
        return fit_shop_network(panel, self, WideDeepStep, "wide_deep")
