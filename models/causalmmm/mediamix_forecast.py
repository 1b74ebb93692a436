"""Forecasts by the level `mediamix`: recursive, in draws of graph, weights and noise, told context and plans.

In every draw a shop keeps one graph and one set of weights; each period's values are drawn given those before, planned
nodes are what the plan says. Noise comes in pairs of opposite sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from models.causalmmm.gates import likely_gates
from models.causalmmm.lag_kernels import lagged_inputs
from models.errors import PanelError
from models.shops.forecast import Forecast, check_future, planned_columns
from models.shops.panel import ShopPanel
from models.shops.scaling import with_season

if TYPE_CHECKING:
    from models.causalmmm.mediamix import MediamixFit

FURTHEST = 8.0  # scaled values of a drawn future stay within this many sds: a recursion must not run away
WARM_UP = 60  # periods over which the recurrent state is built up


def forecast_mediamix(
    fit: MediamixFit,
    history: ShopPanel,
    periods: int,
    context_future: np.ndarray,
    planned_future: np.ndarray,
    draws_count: int = 100,
    seed: int = 0,
) -> Forecast:
    """All nodes of the history's shops, which are shops of the fit.

    Raises PanelError where a shop was not in the fit, nodes differ, the history does not begin with the fit's first
    period, or the future's shape is wrong.
    """
    check_future(history, periods, context_future, planned_future)
    shops = _positions(fit, history)
    scaler = fit.scaler.shops(shops)
    scaled = scaler.scaled(history.values)
    context = np.concatenate([history.context, context_future], axis=1)
    context = with_season(scaler.scaled_context(context), fit.config.season, 0)
    plan = np.zeros((len(shops), periods, history.nodes_count))
    plan[..., planned_columns(history)] = planned_future
    plan = scaler.scaled(plan)[..., planned_columns(history)]
    kind = fit.network.log_sd.dtype
    tensors = [torch.as_tensor(array, dtype=kind) for array in (scaled, context, plan)]
    with torch.no_grad():
        draws = _futures(fit, torch.as_tensor(shops), *tensors, planned_columns(history), draws_count, seed)
    futures = scaler.restored(draws.double().numpy())
    futures[..., planned_columns(history)] = planned_future[:, None]
    return Forecast.of_draws(futures, history.node_ids, fit.posterior.method)


def _positions(fit: MediamixFit, history: ShopPanel) -> np.ndarray:
    """(n,) where the history's shops stand in the fit."""
    if history.node_ids != fit.panel.node_ids:
        raise PanelError(
            f"the history's nodes are {history.node_ids}, the fit's {fit.panel.node_ids}; bring them in line."
        )
    place = {shop: number for number, shop in enumerate(fit.panel.shop_ids)}
    unknown = [shop for shop in history.shop_ids if shop not in place]
    if unknown:
        raise PanelError(
            f"{len(unknown)} shops were not in the fit (first: {unknown[0]!r}) without kernels; `score` gives their "
            "graphs. Fit on a panel that holds them to forecast them."
        )
    shops = np.array([place[shop] for shop in history.shop_ids])
    if not np.array_equal(history.values[:, 0], fit.panel.values[shops, 0]):
        raise PanelError(
            "the history does not begin with the first period of the panel that was fitted, so that places in the "
            "season would be wrong. Hand over the whole history."
        )
    return shops


def _futures(
    fit: MediamixFit,
    shops: Tensor,
    values: Tensor,
    context: Tensor,
    plan: Tensor,
    planned: list[int],
    draws_count: int,
    seed: int,
) -> Tensor:
    """(n, S, M, D) scaled futures; S is draws_count, rounded up to even."""
    network, generator = fit.network, torch.Generator().manual_seed(seed)
    lags, nodes, known = network.lags, values.shape[-1], values.shape[1]
    half = (draws_count + 1) // 2
    weights, messages = _weights(fit, shops, half, generator)  # (n, S, P, D) each
    state = _warm_state(fit, shops, values, context)
    state = state.unflatten(1, (len(shops), nodes)).repeat_interleave(2 * half, 1).flatten(1, 2)
    past = values[:, -lags:].flip(1).unsqueeze(1).expand(-1, 2 * half, -1, -1)  # (n, S, K, D), lag 1 first
    noise_sd = network.log_sd[shops].exp()[:, None]
    futures = []
    for step in range(plan.shape[1]):
        now = context[:, known + step, None].expand(-1, 2 * half, -1)
        inputs = torch.cat([past.transpose(2, 3).flatten(2), now, torch.ones_like(past[:, :, 0, :1])], -1)
        linear = torch.einsum("nsp,nspd->nsd", inputs, weights)
        told = torch.einsum("nsp,nspd->nsd", inputs, messages)
        heard = torch.stack([told, past[:, :, 0]], -1).flatten(0, 1).unsqueeze(1)  # (n S, 1, D, 2)
        hidden, state = network.temporal.step(heard, state)
        mean = linear + network.correction(hidden).reshape(linear.shape)
        if network.hill is not None:
            mean[..., network.outcome], _ = network.hill(mean[..., network.outcome], now)
        noise = torch.randn(len(shops), half, nodes, generator=generator, dtype=values.dtype)
        drawn = (mean + noise_sd * torch.cat([noise, -noise], 1)).clamp(-FURTHEST, FURTHEST)
        drawn[..., planned] = plan[:, step, None]
        futures.append(drawn)
        past = torch.cat([drawn.unsqueeze(2), past[:, :, :-1]], 2)
    return torch.stack(futures, 2)


def _weights(fit: MediamixFit, shops: Tensor, half: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Drawn weights of the whole response and of its messages alone; both draws of a pair share them."""
    kernels = fit.network.kernels
    probability = torch.as_tensor(fit.posterior.edge_probability, dtype=kernels.mean.dtype)[shops].unsqueeze(
        1
    )
    gates = torch.rand(
        (len(shops), half, *probability.shape[2:]), generator=generator, dtype=probability.dtype
    )
    gates = (gates < probability).to(probability.dtype)
    mean, sd = kernels.mean[shops].unsqueeze(1), kernels.log_sd[shops].exp().unsqueeze(1)
    drawn = mean + sd * torch.randn(len(shops), half, *mean.shape[2:], generator=generator, dtype=mean.dtype)
    drawn = kernels.by_lag(drawn, shops)
    both = kernels.weight_gates(gates) * drawn, kernels.edge_gates(gates) * drawn
    return both[0].repeat(1, 2, 1, 1), both[1].repeat(1, 2, 1, 1)


def _warm_state(fit: MediamixFit, shops: Tensor, values: Tensor, context: Tensor) -> Tensor:
    """(1, n D, hidden) recurrent state before the first forecast period, under mean weights and the likely graph."""
    network = fit.network
    recent = values[:, -(WARM_UP + network.lags) :]
    inputs = lagged_inputs(
        recent, context[:, values.shape[1] - recent.shape[1] : values.shape[1]], network.lags
    )
    probability = torch.as_tensor(fit.posterior.edge_probability, dtype=values.dtype)[shops]
    gates = likely_gates(probability - 0.5, torch.as_tensor(np.array(fit.panel.allowed)))
    messages = torch.bmm(
        inputs, network.kernels.edge_gates(gates) * network.kernels.by_lag(network.kernels.mean[shops], shops)
    )
    return network.temporal.state_after(torch.stack([messages, recent[:, network.lags - 1 : -1]], -1))
