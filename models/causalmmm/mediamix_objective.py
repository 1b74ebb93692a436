"""The negative ELBO of the level `mediamix`, by terms, and where its optimisation begins."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.causalmmm.gates import edge_divergence, hard_gates, likely_gates
from models.causalmmm.lag_kernels import along_axes, lagged_inputs, principal_axes
from models.causalmmm.mediamix_config import MediamixConfig
from models.causalmmm.mediamix_network import EvidenceEncoder, FreeLogits, MediamixNetwork


@dataclass(frozen=True, eq=False)
class MediamixData:
    """Scaled series of N shops: values (N, T, D), context (N, T, C), evidence (N, D, D, F) or None, allowed (D, D)."""

    values: Tensor
    context: Tensor
    evidence: Tensor | None
    allowed: Tensor


class MediamixObjective:
    """Network and data of one fit; training periods are the first ones, held-out periods the last ones."""

    def __init__(self, network: MediamixNetwork, data: MediamixData, config: MediamixConfig) -> None:
        self.network, self.data, self.config = network, data, config
        self.shops_count, _, nodes = data.values.shape
        inputs = lagged_inputs(data.values, data.context, network.lags)
        network.kernels.axes.copy_(principal_axes(inputs, nodes, network.lags))
        self.inputs = along_axes(inputs, network.kernels.axes)
        predicted = self.inputs.shape[1]
        self.trained = predicted - round(config.training.holdout_share * predicted)
        self.values_count = self.shops_count * self.trained * nodes

    def logits(self, shops: Tensor) -> Tensor:
        """Edge log odds (n, D, D) of the given shops."""
        encoder = self.network.encoder
        if encoder is None:  # CM-full
            nodes = self.data.values.shape[-1]
            return torch.full((len(shops), nodes, nodes), 30.0, dtype=self.data.values.dtype)
        return encoder(shops) if isinstance(encoder, FreeLogits) else encoder(self.data.evidence[shops])

    def begin_epoch(self, number: int) -> None:
        """An evidence encoder waits until kernels fit the edges that the evidence proposes; the temporal module joins
        when kernels and graph have taken shape, and until then says 0 and is left out."""
        share = number / self.config.training.epochs
        self.network.remembers = share > self.config.temporal_from
        if isinstance(self.network.encoder, EvidenceEncoder):
            self.network.encoder.requires_grad_(share > self.config.encoder_from)

    def loss_terms(self, shops: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Expected negative log likelihood, divergence of the edges and divergence of the weights, in nats."""
        logits, allowed = self.logits(shops), self.data.allowed
        full = self.network.encoder is None
        gates = (
            likely_gates(logits, allowed)
            if full
            else hard_gates(logits, allowed, self.config.temperature, generator)
        )
        edges, always = self.network.kernels.divergences(shops)
        present = torch.sigmoid(logits) * allowed
        structure = (
            logits.new_zeros(()) if full else edge_divergence(logits, allowed, self.config.edge_prior).sum()
        )
        return {
            "likelihood": self._losses(shops, gates, slice(0, self.trained)).sum(),
            "edges": self.config.divergence_weight * structure,
            "weights": (present * edges).sum() + always.sum(),
        }

    def holdout_loss(self, shops: Tensor) -> Tensor:
        """Negative log likelihood of the held-out periods under the likely graph."""
        gates = likely_gates(self.logits(shops), self.data.allowed)
        return self._losses(shops, gates, slice(0, self.inputs.shape[1]))[:, self.trained :].sum()

    def _losses(self, shops: Tensor, gates: Tensor, periods: slice) -> Tensor:
        """Expected negative log density (n, periods, D) under the weights' posterior, without its constant."""
        start = self.network.lags
        values = self.data.values[shops]
        mean, variance = self.network.decode(
            self.inputs[shops, periods],
            values[:, start - 1 : -1][:, periods],
            self.data.context[shops][:, start:][:, periods],
            gates,
            shops,
        )
        log_sd = self.network.log_sd[shops].unsqueeze(1)
        error = values[:, start:][:, periods] - mean
        return log_sd + 0.5 * (error**2 + variance) * (-2 * log_sd).exp()

    def begin_at_ridge(self) -> None:
        """Weights at the ridge solution with every allowed edge, their spread and the noise to match."""
        kernels, allowed = self.network.kernels, self.data.allowed.to(self.inputs.dtype)
        start, periods = self.network.lags, slice(0, self.trained)
        weight_gates = kernels.weight_gates(allowed)
        with torch.no_grad():
            for shops in torch.arange(self.shops_count).split(self.config.training.batch_shops):
                inputs = self.inputs[shops, periods]
                targets = self.data.values[shops][:, start:][:, periods]
                penalty = 0.05 * inputs.shape[1]
                gram = inputs.mT @ inputs + penalty * torch.eye(inputs.shape[-1], dtype=inputs.dtype)
                mean = torch.linalg.solve(gram, inputs.mT @ targets) * weight_gates
                noise = (targets - inputs @ mean).std(1, correction=0).clamp_min(0.05)
                kernels.mean[shops] = mean
                size = gram.diagonal(dim1=1, dim2=2).log()  # (n, P)
                kernels.log_sd[shops] = noise.log().unsqueeze(1) - 0.5 * size.unsqueeze(2)
                self.network.log_sd[shops] = noise.log()

    def parameter_groups(self) -> list[dict]:
        """What is shared by the shops moves a quarter as fast as what each shop has of its own."""
        shared = [self.network.temporal, self.network.correction, self.network.hill]
        if not isinstance(self.network.encoder, FreeLogits):
            shared.append(self.network.encoder)
        slow = [p for module in shared if module is not None for p in module.parameters()]
        names = {id(p) for p in slow}
        fast = [p for p in self.network.parameters() if id(p) not in names]
        return [{"params": fast}, {"params": slow, "lr": self.config.training.learning_rate / 4}]
