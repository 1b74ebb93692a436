"""CausalMMM as published: relational encoder, value messages, temporal and saturation response, one ELBO.

Gong et al. 2024, sections 3.1-3.3, in the readings that docs/decisions.md lists: the encoder keeps the skip of neural
relational inference (Kipf et al. 2018) and normalises per shop (LayerNorm), so that a shop's graph does not depend on
which shops stand beside it; z is hard with a silent type; the noise variance is learned per node.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.causalmmm.hill import HillResponse
from models.causalmmm.paper_config import PaperConfig
from models.causalmmm.temporal import temporal_response
from models.causalmmm.value_messages import ValueMessages


def _mlp(*widths: int) -> nn.Sequential:
    """Linear, ELU, ..., LayerNorm."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ELU()]
    return nn.Sequential(*layers, nn.LayerNorm(widths[-1]))


class RelationalEncoder(nn.Module):
    """Logits of all edges from the values of a fixed number of periods: edge -> vertex -> edge."""

    def __init__(self, periods: int, hidden: int) -> None:
        super().__init__()
        self.embed = _mlp(periods, hidden, hidden)
        self.first_edge = _mlp(2 * hidden, hidden, hidden)
        self.vertex = _mlp(hidden, hidden, hidden)
        self.second_edge = _mlp(3 * hidden, hidden, hidden)
        self.out = nn.Linear(hidden, 1)  # log odds of type 1 against type 0

    def forward(self, values: Tensor) -> Tensor:
        """values (N, T, D) -> logits (N, source, target)."""
        nodes = self.embed(values.transpose(1, 2))  # (N, D, H)
        edges = self.first_edge(_pairs(nodes))  # (N, source, target, H)
        others = 1 - torch.eye(values.shape[-1], dtype=values.dtype)
        nodes = self.vertex(torch.einsum("nijh,ij->njh", edges, others) / values.shape[-1])
        return self.out(self.second_edge(torch.cat([_pairs(nodes), edges], -1))).squeeze(-1)


def _pairs(nodes: Tensor) -> Tensor:
    """(N, D, H) -> (N, source, target, 2 H)."""
    shape = (nodes.shape[0], nodes.shape[1], nodes.shape[1], nodes.shape[2])
    return torch.cat([nodes.unsqueeze(2).expand(shape), nodes.unsqueeze(1).expand(shape)], -1)


class PaperNetwork(nn.Module):
    """Encoder and decoder for D nodes, of which the one at `outcome` saturates."""

    def __init__(self, periods: int, nodes: int, contexts: int, outcome: int, config: PaperConfig) -> None:
        super().__init__()
        self.outcome, self.periods = outcome, periods
        self.encoder = RelationalEncoder(periods, config.encoder_hidden)
        self.messages = ValueMessages(config.decoder_hidden)
        kind = "markov" if config.variant == "markov" else "gru"
        self.temporal = temporal_response(kind, config.decoder_hidden + 1, config.decoder_hidden)
        self.predict = nn.Sequential(
            nn.Linear(config.decoder_hidden + 1, config.decoder_hidden),
            nn.ReLU(),
            nn.Linear(config.decoder_hidden, 1),
        )
        self.hill = None if config.variant == "rw" else HillResponse(contexts)
        self.log_sd = nn.Parameter(torch.zeros(nodes))

    def decode(self, values: Tensor, context: Tensor, gates: Tensor) -> Tensor:
        """One-step means of the periods after each given one.

        values (N, T, D); context (N, T, C) of the periods that are predicted; gates (N, D, D) -> (N, T, D).
        """
        own = values.unsqueeze(-1)
        state = self.temporal(torch.cat([self.messages(values, gates), own], -1))
        linear = self.predict(torch.cat([state, own], -1)).squeeze(-1)
        if self.hill is None:
            return linear
        saturated, _ = self.hill(linear[..., self.outcome], context)
        return with_column(linear, self.outcome, saturated)


def with_column(matrix: Tensor, column: int, values: Tensor) -> Tensor:
    """The matrix (..., D) with one column replaced."""
    return torch.cat([matrix[..., :column], values.unsqueeze(-1), matrix[..., column + 1 :]], -1)
