"""Linear vector autoregression of every shop (the forecasts of linear Granger causality), drawn towards all shops'.

    x^t = a_n + sum_k A_nk x^{t-k} + B_n c^t + e^t

Coefficients of all shops together are a ridge regression; a shop's own are a ridge regression about those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.baselines.shop_network import FittedShopNetwork, ShopNetworkSettings
from models.errors import PanelError
from models.shops.panel import ShopPanel
from models.shops.scaling import ShopScaler, with_season
from models.transforms.lag_windows import lag_windows


class LinearSteps(nn.Module):
    """Weights (N, D window + C + 1, D), shop by shop; nothing is trained here."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.weights = torch.as_tensor(weights, dtype=torch.float32)

    def forward(self, values: Tensor, known: Tensor, shops: Tensor) -> Tensor:
        """(n, W, D), (n, W, C), (n,) -> (n, 1, D): the period after the window."""
        newest_first = values.flip(1).transpose(1, 2).flatten(1)
        inputs = torch.cat([newest_first, known[:, -1], torch.ones(len(values), 1)], -1)
        return torch.einsum("nf,nfd->nd", inputs, self.weights[shops]).unsqueeze(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopLinear(ShopNetworkSettings):
    """window: lags. penalty: of a shop's coefficients about those of all shops, in rows of data."""

    window: int = 7
    penalty: float = 100.0

    def fit(self, panel: ShopPanel) -> FittedShopNetwork:
        """Solve. Raises PanelError where the panel is not longer than the window, ValueError for a penalty of 0."""
        if not self.penalty > 0:
            raise ValueError(f"penalty is {self.penalty}; give a number above 0.")
        if panel.periods_count <= self.window + 1:
            raise PanelError(
                f"the panel has {panel.periods_count} periods and {self.window} lags are asked for; give more "
                "periods or fewer lags."
            )
        scaler = ShopScaler.learn(panel, self.node_scale, self.outcome_scale)
        values = scaler.scaled(panel.values)
        known = with_season(scaler.scaled_context(panel.context), self.season, 0)[:, self.window :]
        lags = lag_windows(values, self.window)  # (shop, row, node, lag)
        ones = np.ones((*known.shape[:2], 1))
        design = np.concatenate([lags.reshape(*lags.shape[:2], -1), known, ones], -1)
        targets = values[:, self.window :]
        gram, cross = design.transpose(0, 2, 1) @ design, design.transpose(0, 2, 1) @ targets
        unit = np.eye(design.shape[-1])
        common = np.linalg.solve(gram.sum(0) + unit, cross.sum(0))
        own = np.linalg.solve(gram + self.penalty * unit, cross + self.penalty * common)
        residual = (targets - design @ own).reshape(-1, panel.nodes_count)
        covariance = residual.T @ residual / len(residual) + 1e-6 * np.eye(panel.nodes_count)
        root = torch.as_tensor(np.linalg.cholesky(covariance), dtype=torch.float32)
        return FittedShopNetwork(self, LinearSteps(own), scaler, panel.shop_ids, root, "linear")
