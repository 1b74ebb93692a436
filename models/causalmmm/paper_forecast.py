"""Forecasts by the level `paper`: recursive draws under the encoder's likely graph, with the learned noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from models.causalmmm.gates import likely_gates
from models.causalmmm.paper_network import PaperNetwork, with_column
from models.shops.forecast import Forecast, check_future, planned_columns
from models.shops.panel import ShopPanel
from models.shops.scaling import ShopScaler

if TYPE_CHECKING:
    from models.causalmmm.paper import PaperFit

FURTHEST = 8.0  # scaled values of a drawn future stay within this many sds
WARM_UP = 60  # periods over which the recurrent state is built up


def forecast_paper(
    fit: PaperFit,
    scaler: ShopScaler,
    history: ShopPanel,
    periods: int,
    context_future: np.ndarray,
    planned_future: np.ndarray,
    draws_count: int = 20,
    seed: int = 0,
) -> Forecast:
    """All nodes of any shops whose history is at least as long as the encoder's window; scaler: of these shops."""
    check_future(history, periods, context_future, planned_future)
    planned, kind = planned_columns(history), fit.network.log_sd.dtype
    plan = np.zeros((history.shops_count, periods, history.nodes_count))
    plan[..., planned] = planned_future
    given = scaler.scaled(history.values), scaler.scaled_context(context_future), scaler.scaled(plan)
    values, context, plan = (torch.as_tensor(array, dtype=kind) for array in given)
    with torch.no_grad():
        logits = fit.edge_logits(values)
        gates = likely_gates(logits, torch.as_tensor(np.array(history.allowed)))
        draws = _futures(fit.network, values, context, plan, planned, gates, draws_count, seed)
    futures = scaler.restored(draws.double().numpy())
    futures[..., planned] = planned_future[:, None]
    return Forecast.of_draws(futures, history.node_ids, fit.posterior.method)


def _futures(
    network: PaperNetwork,
    values: Tensor,
    context: Tensor,
    plan: Tensor,
    planned: list[int],
    gates: Tensor,
    draws_count: int,
    seed: int,
) -> Tensor:
    """(N, S, M, D) scaled futures; context and plan are of the M periods to come."""
    generator, (shops, _, nodes) = torch.Generator().manual_seed(seed), values.shape
    half = (draws_count + 1) // 2
    recent = values[:, -WARM_UP - 1 : -1]
    state = network.temporal.state_after(_inputs(network, recent, gates))
    state = state.unflatten(1, (shops, nodes)).repeat_interleave(2 * half, 1).flatten(1, 2)
    gates = gates.repeat_interleave(2 * half, 0)
    last = values[:, -1].repeat_interleave(2 * half, 0)  # (N S, D)
    futures = []
    for step in range(plan.shape[1]):
        own = last[:, None, :, None]
        hidden, state = network.temporal.step(_inputs(network, last.unsqueeze(1), gates), state)
        mean = network.predict(torch.cat([hidden, own], -1)).squeeze(-1)  # (N S, 1, D)
        if network.hill is not None:
            now = context[:, step, None].repeat_interleave(2 * half, 0)
            mean = with_column(mean, network.outcome, network.hill(mean[..., network.outcome], now)[0])
        noise = torch.randn(shops, half, nodes, generator=generator, dtype=values.dtype)
        noise = torch.cat([noise, -noise], 1).flatten(0, 1) * network.log_sd.exp()
        last = (mean.squeeze(1) + noise).clamp(-FURTHEST, FURTHEST)
        last[:, planned] = plan[:, step].repeat_interleave(2 * half, 0)[:, planned]
        futures.append(last.unflatten(0, (shops, 2 * half)))
    return torch.stack(futures, 2)


def _inputs(network: PaperNetwork, values: Tensor, gates: Tensor) -> Tensor:
    """What the temporal module reads: messages and own values, (n, T, D, hidden + 1)."""
    return torch.cat([network.messages(values, gates), values.unsqueeze(-1)], -1)
