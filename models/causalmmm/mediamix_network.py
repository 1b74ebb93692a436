"""The product's CausalMMM: evidence -> edge logits -> hard gates -> lag kernels -> temporal module -> Hill -> ELBO.

The skeleton is the paper's; what differs, and why, is in docs/decisions.md: messages are edge-specific lag kernels with
a posterior (one shared f_edge of scalars cannot hold pair-specific carry-over), and the encoder reads test statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.causalmmm.hill import HillResponse
from models.causalmmm.lag_kernels import LagKernels, along_axes, lagged_inputs
from models.causalmmm.mediamix_config import MediamixConfig
from models.causalmmm.temporal import temporal_response


class EvidenceEncoder(nn.Module):
    """Edge log odds from test statistics of the edge and of those beside it in the same shop.

    evidence (N, D, D, F): its first feature is a log odds of the edge and enters monotonously, through a skip; the
    others, and what the edges of the same source and of the same target look like, enter through an MLP.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.first_edge = nn.Sequential(nn.Linear(features, hidden), nn.ELU(), nn.LayerNorm(hidden))
        self.second_edge = nn.Sequential(nn.Linear(3 * hidden, hidden), nn.ELU(), nn.Linear(hidden, 1))
        nn.init.zeros_(self.second_edge[-1].weight)
        nn.init.zeros_(self.second_edge[-1].bias)
        self.skip = nn.Parameter(torch.tensor(0.55))  # softplus is about 1
        self.bias = nn.Parameter(
            torch.tensor(0.0)
        )  # the evidence is a posterior log odds: its zero is the boundary

    def learn_range(self, edges: Tensor) -> None:
        """Centre and scale of the features from those of the fit's edges, (N, edges, F)."""
        flat = torch.asinh(edges).flatten(0, 1)
        spread = flat.std(0, correction=0)
        self.centre.copy_(flat.mean(0))
        self.scale.copy_(torch.where(spread > 1e-6, spread, 1.0))

    def forward(self, evidence: Tensor) -> Tensor:
        """(N, D, D, F) -> logits (N, D, D)."""
        others = 1 - torch.eye(evidence.shape[1], dtype=evidence.dtype)
        squashed = torch.asinh(evidence)
        edges = self.first_edge((squashed - self.centre) / self.scale) * others[..., None]
        count = max(evidence.shape[1] - 1, 1)
        sources = (edges.sum(2, keepdim=True) / count).expand_as(edges)
        targets = (edges.sum(1, keepdim=True) / count).expand_as(edges)
        relation = self.second_edge(torch.cat([edges, sources, targets], -1)).squeeze(-1)
        return F.softplus(self.skip) * squashed[..., 0] + self.bias + relation


class FreeLogits(nn.Module):
    """One logit per shop and edge."""

    def __init__(self, shops: int, nodes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(shops, nodes, nodes))

    def forward(self, shops: Tensor) -> Tensor:
        """(n,) shop numbers -> (n, D, D)."""
        return self.logits[shops]


class MediamixNetwork(nn.Module):
    """Encoder and decoder of N shops with D nodes, of which the one at `outcome` saturates.

    Its context has C columns that bend the saturation and then one for each place in the season.
    """

    def __init__(self, shops: int, nodes: int, contexts: int, outcome: int, config: MediamixConfig) -> None:
        super().__init__()
        self.outcome, self.lags = outcome, config.kernel_lags
        self.kernels = LagKernels(shops, nodes, contexts + config.season, self.lags, config.shared_prior)
        kind = "markov" if config.variant == "markov" else "gru"
        self.temporal = temporal_response(kind, 2, config.temporal_hidden)
        self.correction = nn.Linear(config.temporal_hidden, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        self.hill = None if config.variant == "rw" else HillResponse(contexts)
        self.log_sd = nn.Parameter(torch.zeros(shops, nodes))
        self.remembers = True
        self.encoder: nn.Module | None = None  # set by the fit: evidence or free; none for CM-full

    def decode(
        self, inputs: Tensor, values: Tensor, context: Tensor, gates: Tensor, shops: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One-step means and the variance that the weights' posterior adds to them, both (n, T - K, D).

        inputs (n, T - K, P) of lagged_inputs along the kernels' axes; values (n, T - K, D) of the periods before the
        predicted ones; context (n, T - K, C) of the predicted ones; gates (n, D, D); shops (n,). The temporal module
        reads mean messages, and the variance passes the saturation by its slope: exact where the response is linear,
        else of first order.
        """
        mean = self.kernels.mean[shops]
        gated = self.kernels.weight_gates(gates)
        linear = torch.bmm(inputs, gated * mean)
        variance = torch.bmm(inputs**2, gated * (2 * self.kernels.log_sd[shops]).exp())
        if self.remembers:
            messages = torch.bmm(inputs, self.kernels.edge_gates(gates) * mean)
            state = self.temporal(torch.stack([messages, values], -1))
            linear = linear + self.correction(state).squeeze(-1)
        if self.hill is None:
            return linear, variance
        y = self.outcome
        saturated, slope = self.hill(linear[..., y], context)
        mean = torch.cat([linear[..., :y], saturated.unsqueeze(-1), linear[..., y + 1 :]], -1)
        spread = torch.cat(
            [variance[..., :y], (variance[..., y] * slope**2).unsqueeze(-1), variance[..., y + 1 :]], -1
        )
        return mean, spread


def decode_series(
    network: MediamixNetwork, values: Tensor, context: Tensor, gates: Tensor, shops: Tensor
) -> Tensor:
    """One-step means (n, T - K, D) of whole series: values (n, T, D), context (n, T, C)."""
    inputs = along_axes(lagged_inputs(values, context, network.lags), network.kernels.axes[shops])
    start = network.lags
    return network.decode(inputs, values[:, start - 1 : -1], context[:, start:], gates, shops)[0]
