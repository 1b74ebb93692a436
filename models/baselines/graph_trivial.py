"""Graph baselines that fit nothing: every table holds them, because simulated graphs often give themselves away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.baselines.graph_base import EdgeScores
from models.shops.panel import ShopPanel
from models.transforms.lag_windows import lag_windows


@dataclass(frozen=True)
class AllAbsent:
    """No edge anywhere: the accuracy that has to be beaten."""

    def score_edges(self, panel: ShopPanel) -> EdgeScores:
        """Zero everywhere."""
        shape = (panel.shops_count, panel.nodes_count, panel.nodes_count)
        return EdgeScores(np.zeros(shape), np.zeros(shape, dtype=bool), "all_absent")


@dataclass(frozen=True)
class AllPresent:
    """Every allowed edge, as the ablation CM-full of Gong et al. (WSDM 2024) has it."""

    def score_edges(self, panel: ShopPanel) -> EdgeScores:
        """One everywhere."""
        shape = (panel.shops_count, panel.nodes_count, panel.nodes_count)
        return EdgeScores(np.ones(shape), np.broadcast_to(panel.allowed, shape).copy(), "all_present")


@dataclass(frozen=True)
class SdRatio:
    """log sd of the target less log sd of the source: noise adds up along a simulated graph (Reisach et al. 2021).

    Says nothing about data whose nodes have different units.
    """

    def score_edges(self, panel: ShopPanel) -> EdgeScores:
        """Score without a decision."""
        sd = np.log(np.maximum(panel.values.std(axis=1), 1e-12))
        return EdgeScores(sd[:, None, :] - sd[:, :, None], None, "sd_ratio")


@dataclass(frozen=True, kw_only=True)
class LagCorrelation:
    """Largest absolute correlation of the target with the source's past values."""

    lags_count: int = 7

    def score_edges(self, panel: ShopPanel) -> EdgeScores:
        """Score by it; present where it passes 2.58 standard errors of white noise."""
        windows = lag_windows(panel.values, self.lags_count)
        targets = panel.values[:, self.lags_count :]
        rows = targets.shape[1]
        correlation = np.einsum("nmik,nmj->nijk", _unit(windows), _unit(targets), optimize=True)
        score = np.abs(correlation).max(axis=-1)
        return EdgeScores(score, score > 2.58 / np.sqrt(rows), "lag_correlation")


def _unit(values: np.ndarray) -> np.ndarray:
    """Centred along periods, of length one there."""
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    return centred / np.where(length > 1e-12, length, np.inf)
