"""Fit the level `paper`: graphs of all shops by the published network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.causalmmm.fingerprints import fingerprint
from models.causalmmm.gates import edge_divergence, hard_gates, likely_gates
from models.causalmmm.paper_config import PaperConfig
from models.causalmmm.paper_forecast import forecast_paper
from models.causalmmm.paper_network import PaperNetwork
from models.causalmmm.training import Progress, train
from models.errors import PanelError
from models.shops.forecast import Forecast
from models.shops.graph_posterior import GraphPosterior
from models.shops.panel import ShopPanel
from models.shops.scaling import ShopScaler

SCALE = "standard"  # of the outcome: the published network saturates it itself


class PaperObjective:
    """The published ELBO with a learned noise variance: teacher-forced one-step errors and lambda KL."""

    def __init__(
        self, network: PaperNetwork, values: Tensor, context: Tensor, allowed: Tensor, config: PaperConfig
    ):
        self.network, self.values, self.context, self.allowed, self.config = (
            network,
            values,
            context,
            allowed,
            config,
        )
        self.shops_count, periods, nodes = values.shape
        self.trained = periods - 1 - round(config.training.holdout_share * (periods - 1))
        self.values_count = self.shops_count * self.trained * nodes

    def logits(self, shops: Tensor) -> Tensor:
        """Edge log odds (n, D, D); the encoder reads the periods that are trained on."""
        if self.config.variant == "full":
            return self.values.new_full((len(shops), *self.allowed.shape), 30.0)
        return self.network.encoder(self.values[shops, : self.network.periods])

    def begin_epoch(self, number: int) -> None:
        """All parts are trained from the first epoch on."""

    def loss_terms(self, shops: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Negative log likelihood and weighted divergence, in nats."""
        logits = self.logits(shops)
        if self.config.variant == "full":
            gates, divergence = likely_gates(logits, self.allowed), logits.new_zeros(())
        else:
            gates = hard_gates(logits, self.allowed, self.config.temperature, generator)
            divergence = edge_divergence(logits, self.allowed, self.config.edge_prior).sum()
        return {
            "likelihood": self._losses(shops, gates, self.trained).sum(),
            "edges": self.config.divergence_weight * divergence,
        }

    def holdout_loss(self, shops: Tensor) -> Tensor:
        """Negative log likelihood of the held-out periods under the likely graph."""
        gates = likely_gates(self.logits(shops), self.allowed)
        return self._losses(shops, gates, self.values.shape[1] - 1)[:, self.trained :].sum()

    def _losses(self, shops: Tensor, gates: Tensor, periods: int) -> Tensor:
        """(n, periods, D) negative log density of periods 1, ..., `periods`, without its constant."""
        values = self.values[shops, : periods + 1]
        mean = self.network.decode(values[:, :-1], self.context[shops, 1 : periods + 1], gates)
        log_sd = self.network.log_sd
        return log_sd + 0.5 * (values[:, 1:] - mean) ** 2 * (-2 * log_sd).exp()


@dataclass(frozen=True, eq=False)
class PaperFit:
    """A trained network. posterior: graphs of the shops it was trained on. history: epochs, as rows."""

    config: PaperConfig
    network: PaperNetwork
    panel: ShopPanel
    posterior: GraphPosterior
    history: tuple[dict, ...]

    def edge_logits(self, values: Tensor) -> Tensor:
        """Log odds (N, D, D) from the first periods of scaled values (N, T, D), as many as were trained on."""
        if self.config.variant == "full":
            return values.new_full((len(values), values.shape[2], values.shape[2]), 30.0)
        return self.network.encoder(values[:, : self.network.periods])

    def forecast(
        self, history: ShopPanel, periods: int, context_future: np.ndarray, planned_future: np.ndarray
    ) -> Forecast:
        """See models.shops.forecast; the scale of a shop is that of the encoder's periods of its history."""
        self._check(history)
        scaler = ShopScaler.learn(history.periods(None, self.network.periods), SCALE, SCALE)
        return forecast_paper(self, scaler, history, periods, context_future, planned_future)

    def score(self, panel: ShopPanel) -> GraphPosterior:
        """Graphs of any shops by the encoder alone, from as many of their first periods as it was trained on.

        Raises PanelError for other nodes or fewer periods.
        """
        self._check(panel)
        values, _ = _tensors(panel)
        with torch.no_grad():
            logits = self.edge_logits(values)
        return _posterior(panel, logits, self.config, {})

    def _check(self, panel: ShopPanel) -> None:
        if panel.node_ids != self.panel.node_ids:
            raise PanelError(
                f"the panel's nodes are {panel.node_ids}, the fit's are {self.panel.node_ids}; edges would be named "
                "wrongly. Bring the panel's nodes into the fit's order."
            )
        if panel.periods_count < self.network.periods:
            raise PanelError(
                f"the panel has {panel.periods_count} periods; the published encoder reads exactly "
                f"{self.network.periods}. Give longer series, or use the level mediamix."
            )


def fit_paper(
    panel: ShopPanel,
    config: PaperConfig | None = None,
    progress: Progress | None = None,
    folder: str | Path | None = None,
    stop_after: int | None = None,
) -> PaperFit:
    """Train the published network; folder holds checkpoints, a training interrupted there goes on."""
    config = PaperConfig() if config is None else config
    values, context = _tensors(panel)
    allowed = torch.as_tensor(np.array(panel.allowed))
    held_out = round(config.training.holdout_share * (panel.periods_count - 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        network = PaperNetwork(
            panel.periods_count - held_out, panel.nodes_count, context.shape[-1], panel.outcome_index, config
        )
    objective = PaperObjective(network, values, context, allowed, config)
    groups = [{"params": list(network.parameters())}]
    history = train(
        objective, config.training, groups, fingerprint(config, panel), progress, folder, stop_after
    )
    network.eval()
    with torch.no_grad():
        logits = objective.logits(torch.arange(panel.shops_count))
    diagnostics = {"epochs": float(len(history)), "negative_elbo_per_value": history[-1]["loss"]}
    return PaperFit(config, network, panel, _posterior(panel, logits, config, diagnostics), tuple(history))


def _tensors(panel: ShopPanel) -> tuple[Tensor, Tensor]:
    scaler = ShopScaler.learn(panel, SCALE, SCALE)
    kind = torch.get_default_dtype()
    return (
        torch.as_tensor(scaler.scaled(panel.values), dtype=kind),
        torch.as_tensor(scaler.scaled_context(panel.context), dtype=kind),
    )


def _posterior(panel: ShopPanel, logits: Tensor, config: PaperConfig, diagnostics: dict) -> GraphPosterior:
    probability = torch.sigmoid(logits).double().numpy() * panel.allowed
    unknown = np.full(probability.shape, np.nan)
    method = "paper" if config.variant == "causalmmm" else f"paper-{config.variant}"
    return GraphPosterior(probability, unknown, unknown, None, method, diagnostics)
