"""Fit the level `mediamix`: causal graphs of all shops, their kernels, and scores of shops that were not in the fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.causalmmm.evidence import ClassicalEvidence
from models.causalmmm.fingerprints import fingerprint
from models.causalmmm.kernel_summary import conditional_kernels, kernel_summary, summarise
from models.causalmmm.mediamix_config import MediamixConfig
from models.causalmmm.mediamix_forecast import forecast_mediamix
from models.causalmmm.mediamix_network import EvidenceEncoder, FreeLogits, MediamixNetwork
from models.causalmmm.mediamix_objective import MediamixData, MediamixObjective
from models.causalmmm.training import Progress, train
from models.errors import NotFittedError, PanelError
from models.shops.forecast import Forecast
from models.shops.graph_posterior import GraphPosterior
from models.shops.panel import ShopPanel
from models.shops.scaling import ShopScaler, with_season

Evidence = Callable[[ShopPanel], np.ndarray]  # -> (N, D, D, F), the first feature a log odds of the edge


@dataclass(frozen=True, eq=False)
class MediamixFit:
    """A trained network. posterior: graphs of the shops it was trained on. history: epochs, as rows."""

    config: MediamixConfig
    network: MediamixNetwork
    panel: ShopPanel
    scaler: ShopScaler
    evidence: Evidence | None
    posterior: GraphPosterior
    history: tuple[dict, ...]

    def forecast(
        self, history: ShopPanel, periods: int, context_future: np.ndarray, planned_future: np.ndarray
    ) -> Forecast:
        """See models.shops.forecast and forecast_mediamix."""
        return forecast_mediamix(self, history, periods, context_future, planned_future)

    def score(self, panel: ShopPanel) -> GraphPosterior:
        """Graphs of shops that need not have been in the fit, without refitting: encoder, then kernels given edges.

        Raises NotFittedError where the encoder reads no evidence (free logits, CM-full), PanelError for other nodes.
        """
        if not isinstance(self.network.encoder, EvidenceEncoder):
            raise NotFittedError(
                "this fit has no encoder that reads data (encoder 'free' or variant 'full'): its graphs belong to the "
                "shops it was trained on. Fit with encoder='evidence' to score other shops."
            )
        if self.evidence is None:
            raise NotFittedError(
                "this fit was loaded without the evidence that its encoder reads. Hand it to `load_mediamix`."
            )
        if panel.node_ids != self.panel.node_ids:
            raise PanelError(
                f"the panel's nodes are {panel.node_ids}, the fit's are {self.panel.node_ids}; edges would be named "
                "wrongly. Bring the panel's nodes into the fit's order."
            )
        scaler = _scaler(panel, self.config)
        data = mediamix_data(panel, scaler, self.config, self.evidence)
        with torch.no_grad():
            logits = self.network.encoder(data.evidence).double().numpy()
        edges = torch.as_tensor(logits > 0) & data.allowed
        mean, sd, _ = conditional_kernels(self.network.kernels, data.values, data.context, edges)
        lag, sign = summarise(mean, sd, len(panel.node_ids), self.network.lags)
        return _posterior(panel, logits, lag, sign, self.config, {})


def fit_mediamix(
    panel: ShopPanel,
    config: MediamixConfig | None = None,
    evidence: Evidence | None = None,
    progress: Progress | None = None,
    folder: str | Path | None = None,
    stop_after: int | None = None,
) -> MediamixFit:
    """Fit graphs and kernels of every shop of the panel by one ELBO.

    evidence: test statistics for the encoder, `ClassicalEvidence` by default; not used by encoder 'free'.
    folder: holds checkpoints; a training that was interrupted there goes on. stop_after: see `training.train`.
    Raises PanelError where the panel is too short for the lags.
    """
    config = MediamixConfig() if config is None else config
    shops, periods = panel.shops_count, panel.periods_count
    if periods < 2 * config.kernel_lags + 4:
        raise PanelError(
            f"the panel has {periods} periods, too few for {config.kernel_lags} lags: at least "
            f"{2 * config.kernel_lags + 4} are needed. Give more periods or fewer lags."
        )
    reads_evidence = config.encoder == "evidence" and config.variant != "full"
    if reads_evidence and evidence is None:
        evidence = ClassicalEvidence.learn(panel, config.kernel_lags)
    scaler = _scaler(panel, config)
    data = mediamix_data(panel, scaler, config, evidence if reads_evidence else None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        network = untrained_network(panel, config, data.evidence.shape[-1] if reads_evidence else 0)
    if reads_evidence:
        network.encoder.learn_range(data.evidence[:, data.allowed])
    objective = MediamixObjective(network, data, config)
    objective.begin_at_ridge()
    history = train(
        objective,
        config.training,
        objective.parameter_groups(),
        fingerprint(config, panel, () if data.evidence is None else (data.evidence.numpy(),)),
        progress,
        folder,
        stop_after,
    )
    network.remembers = True
    with torch.no_grad():
        logits = torch.cat(
            [objective.logits(s) for s in torch.arange(shops).split(config.training.batch_shops)]
        )
    lag, sign = kernel_summary(network.kernels)
    diagnostics = {"epochs": float(len(history)), "negative_elbo_per_value": history[-1]["loss"]}
    posterior = _posterior(panel, logits.double().numpy(), lag, sign, config, diagnostics)
    return MediamixFit(config, network, panel, scaler, evidence, posterior, tuple(history))


def untrained_network(panel: ShopPanel, config: MediamixConfig, features: int) -> MediamixNetwork:
    """Network for the panel's shops and nodes; features: of the evidence, 0 for none."""
    shops, _, nodes = panel.values.shape
    network = MediamixNetwork(shops, nodes, panel.context.shape[-1], panel.outcome_index, config)
    if config.variant != "full":
        network.encoder = EvidenceEncoder(features, config.hidden) if features else FreeLogits(shops, nodes)
    return network


def _scaler(panel: ShopPanel, config: MediamixConfig) -> ShopScaler:
    return ShopScaler.learn(panel, config.node_scale, config.outcome_scale)


def mediamix_data(
    panel: ShopPanel, scaler: ShopScaler, config: MediamixConfig, evidence: Evidence | None
) -> MediamixData:
    """Scaled tensors; raises PanelError where the evidence has another shape or is not finite."""
    shops, _, nodes = panel.values.shape
    given = None
    if evidence is not None:
        array = np.array(evidence(panel), dtype=np.float64)
        if array.ndim != 4 or array.shape[:3] != (shops, nodes, nodes):
            raise PanelError(
                f"the evidence has shape {array.shape} where ({shops}, {nodes}, {nodes}, features) belongs: one row of "
                "features per shop, source and target."
            )
        array[:, np.arange(nodes), np.arange(nodes)] = 0.0
        if not np.isfinite(array).all():
            raise PanelError("the evidence holds values that are not finite off the diagonal; clip them.")
        given = torch.as_tensor(array, dtype=torch.get_default_dtype())
    return MediamixData(
        torch.as_tensor(scaler.scaled(panel.values), dtype=torch.get_default_dtype()),
        torch.as_tensor(
            with_season(scaler.scaled_context(panel.context), config.season, 0),
            dtype=torch.get_default_dtype(),
        ),
        given,
        torch.as_tensor(np.array(panel.allowed)),
    )


def _posterior(panel, logits, lag, sign, config: MediamixConfig, diagnostics) -> GraphPosterior:
    absent = ~np.broadcast_to(panel.allowed, logits.shape)
    probability = np.where(absent, 0.0, 1.0 / (1.0 + np.exp(-np.clip(logits, -60, 60))))
    return GraphPosterior(
        edge_probability=probability,
        lag=np.where(absent, np.nan, lag),
        sign=np.where(absent, np.nan, sign),
        structure_probability=None,
        method=f"mediamix-{config.encoder}"
        if config.variant == "causalmmm"
        else f"mediamix-{config.variant}",
        diagnostics=diagnostics,
    )
