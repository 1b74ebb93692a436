"""What the neural forecasting baselines share: one-step networks over all nodes, trained by squared error, recursive.

A step network sees the scaled history up to t, the context and season of t + 1 and which shop it is, and says all
nodes' values at t + 1. A forecast feeds its draws back, with the planned nodes at their plan and Gaussian noise of the
training errors' covariance about the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.errors import PanelError
from models.shops.forecast import Forecast, check_future, planned_columns
from models.shops.panel import ShopPanel
from models.shops.scaling import ShopScaler, with_season

FURTHEST = 8.0  # scaled values of a drawn future stay within this many sds
BATCH = 32  # windows a step


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopNetworkSettings:
    """node_scale, outcome_scale: see models.shops.scaling. season: its length, 0 for none. hidden: width of the net.

    window: periods that the network sees. epochs, learning_rate, weight_decay: of Adam. draws_count: of a forecast.
    """

    node_scale: str = "log"
    outcome_scale: str = "log"
    season: int = 7
    hidden: int = 32
    window: int = 28
    epochs: int = 30
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    draws_count: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("hidden", "window", "epochs", "draws_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more.")
        if not self.learning_rate > 0 or self.weight_decay < 0:
            raise ValueError(
                f"learning_rate is {self.learning_rate} and weight_decay {self.weight_decay}; give a step above 0 and "
                "a decay of 0 or more."
            )


@dataclass(frozen=True, eq=False)
class FittedShopNetwork:
    """network: called with series (n, window + ahead, D), known (n, ..., C) and shops (n,), see `StepNetwork`."""

    settings: ShopNetworkSettings
    network: nn.Module
    scaler: ShopScaler
    shop_ids: tuple[str, ...]
    noise_root: Tensor  # (D, D) Cholesky factor of the errors' covariance
    method: str

    def forecast(
        self, history: ShopPanel, periods: int, context_future: np.ndarray, planned_future: np.ndarray
    ) -> Forecast:
        """All nodes. Raises PanelError for shops that were not in the fit or a history shorter than the window."""
        check_future(history, periods, context_future, planned_future)
        unknown = [shop for shop in history.shop_ids if shop not in self.shop_ids]
        if unknown or history.periods_count < self.settings.window:
            raise PanelError(
                f"{len(unknown)} shops were not in the fit and the history has {history.periods_count} periods of the "
                f"{self.settings.window} that the network sees. Fit on these shops and give a longer history."
            )
        shops = np.array([self.shop_ids.index(shop) for shop in history.shop_ids])
        scaler, planned = self.scaler.shops(shops), planned_columns(history)
        context = scaler.scaled_context(np.concatenate([history.context, context_future], 1))
        known = _tensor(with_season(context, self.settings.season, 0))
        plan = np.zeros((len(shops), periods, history.nodes_count))
        plan[..., planned] = planned_future
        plan = _tensor(scaler.scaled(plan))
        with torch.no_grad():
            draws = self._futures(
                _tensor(scaler.scaled(history.values)), known, plan, planned, torch.as_tensor(shops)
            )
        futures = scaler.restored(draws.double().numpy())
        futures[..., planned] = planned_future[:, None]
        return Forecast.of_draws(futures, history.node_ids, self.method)

    def _futures(
        self, values: Tensor, known: Tensor, plan: Tensor, planned: list[int], shops: Tensor
    ) -> Tensor:
        """(n, S, M, D)."""
        half, window = (self.settings.draws_count + 1) // 2, self.settings.window
        generator = torch.Generator().manual_seed(self.settings.seed)
        rows = shops.repeat_interleave(2 * half)
        past = values[:, -window:].repeat_interleave(2 * half, 0)  # (n S, window, D)
        start = values.shape[1]
        self.network.eval()
        for step in range(plan.shape[1]):
            seen = known[:, start + step - window + 1 : start + step + 1].repeat_interleave(2 * half, 0)
            mean = self.network(past[:, -window:], seen, rows)[:, -1].unflatten(0, (len(shops), 2 * half))
            noise = torch.randn(len(shops), half, mean.shape[-1], generator=generator) @ self.noise_root.T
            drawn = (mean + torch.cat([noise, -noise], 1)).clamp(-FURTHEST, FURTHEST)
            drawn[..., planned] = plan[:, step, None][..., planned]
            past = torch.cat([past, drawn.flatten(0, 1).unsqueeze(1)], 1)
        return past[:, window:].unflatten(0, (len(shops), 2 * half))


def fit_shop_network(
    panel: ShopPanel, settings: ShopNetworkSettings, build: Any, method: str
) -> FittedShopNetwork:
    """Train build(nodes, contexts, shops, settings), whose forward gives every period's one-step mean.

    forward(values (n, W, D), known (n, W, C) of the periods after each, shops (n,)) -> (n, W or 1, D). Where the
    network has a `penalty()`, it is added to the loss of every step.
    """
    scaler = ShopScaler.learn(panel, settings.node_scale, settings.outcome_scale)
    values = _tensor(scaler.scaled(panel.values))
    known = _tensor(with_season(scaler.scaled_context(panel.context), settings.season, 0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = build(panel.nodes_count, known.shape[-1], panel.shops_count, settings)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)
    generator = torch.Generator().manual_seed(settings.seed)
    window, last = settings.window, panel.periods_count - settings.window
    if last < 1:
        raise PanelError(
            f"the panel has {panel.periods_count} periods and the network sees {window}; give more periods or a "
            "shorter window."
        )
    steps = max(1, panel.shops_count * panel.periods_count // (window * BATCH))
    errors: list[Tensor] = []
    for epoch in range(settings.epochs):
        network.train()
        for _ in range(steps):
            shops = torch.randint(panel.shops_count, (BATCH,), generator=generator)
            starts = torch.randint(last, (BATCH,), generator=generator)
            place = starts[:, None] + torch.arange(window)
            target = values[shops[:, None], place + 1]
            said = network(values[shops[:, None], place], known[shops[:, None], place + 1], shops)
            error = target[:, -said.shape[1] :] - said
            loss = (error**2).mean()
            if hasattr(network, "penalty"):
                loss = loss + network.penalty()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            if epoch == settings.epochs - 1:
                errors.append(error.detach()[:, -1])
        schedule.step()
    residual = torch.cat(errors)
    covariance = residual.T @ residual / len(residual) + 1e-6 * torch.eye(panel.nodes_count)
    return FittedShopNetwork(
        settings, network, scaler, panel.shop_ids, torch.linalg.cholesky(covariance), method
    )


def _tensor(array: np.ndarray) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
