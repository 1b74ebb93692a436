"""The graph of markets that is published: the classical level, with how often each edge is found again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from models.causalmmm.classical import ClassicalFit, fit_classical
from models.causalmmm.classical_config import ClassicalConfig
from models.causalmmm.stability import SHOPS_LEAST, THRESHOLD, selection_frequency
from models.shops.panel import ShopPanel

STABILITY_PAIRS = 10
_SEED_STREAM = 6  # of the halves of markets
#: Periods back that an edge may reach, and cycles that are no cause, by length of the period.
_LAGS = {"day": (1, 2, 3, 5, 7, 10, 14), "week": (1, 2, 3, 4), "month": (1, 2)}
_SEASONS = {"day": (7,), "week": (), "month": ()}


@dataclass(frozen=True, slots=True, eq=False)
class MarketGraph:
    """edges: a row per market and possible edge: market_id, source_id, target_id, edge_probability, lag, sign, method,
    selection_frequency (NaN below SHOPS_LEAST markets), structure (from 1). facts: figures about the fit by name.
    """

    fit: ClassicalFit
    edges: pd.DataFrame
    facts: dict[str, Any]


def market_graph_config(period: str, seed: int) -> ClassicalConfig:
    """Lags and cycles that go with the period (day, week or month); ranks of every node, because intensities and money
    are skewed."""
    if period not in _LAGS:
        raise ValueError(f"The period is {period!r}; lags are known for {sorted(_LAGS)}. Give one of them.")
    return ClassicalConfig(
        lags_count=None,
        lag_candidates=_LAGS[period],
        season_lengths=_SEASONS[period],
        normal_scores="all",
        seed=seed,
    )


def fit_market_graph(
    panel: ShopPanel,
    config: ClassicalConfig,
    stability_pairs: int = STABILITY_PAIRS,
    progress: Callable[[str], None] | None = None,
) -> MarketGraph:
    """The classical level on markets, and selection frequencies from pairs of halves with the lag order of the whole.

    Raises
    ------
    ValueError : the panel is too short for the candidates of lags.
    """
    tell = progress or (lambda text: None)
    fit = fit_classical(panel, config, tell)
    edges = fit.posterior.to_frame(panel).rename(columns={"shop_id": "market_id"})
    edges["selection_frequency"] = np.nan
    if panel.shops_count >= SHOPS_LEAST:
        fixed = replace(config, lags_count=fit.lags_count)
        frequency = selection_frequency(
            panel,
            lambda part, number: fit_classical(part, replace(fixed, seed=config.seed + 1 + number)).posterior,
            stability_pairs,
            np.random.default_rng([config.seed, _SEED_STREAM]),
            progress=lambda text, share: tell(text),
        )
        source, target = np.nonzero(panel.allowed)
        edges["selection_frequency"] = frequency[:, source, target].ravel()
    shares = fit.posterior.structure_probability
    structure = np.zeros(panel.shops_count, dtype=int) if shares is None else shares.argmax(axis=1)
    edges["structure"] = np.repeat(structure + 1, int(panel.allowed.sum()))
    likely = float((edges["edge_probability"] >= THRESHOLD).sum())
    facts = {
        "markets_count": panel.shops_count,
        "periods_count": panel.periods_count,
        "nodes": list(panel.node_ids),
        "lags_count": fit.lags_count,
        "structures_count": len(set(structure.tolist())),
        "edges_above_half_per_market": round(likely / panel.shops_count, 2),
    }
    return MarketGraph(fit, edges, facts)
