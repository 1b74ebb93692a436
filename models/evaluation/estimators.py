"""The estimators that simulated worlds judge, by name: each sees an analyst's panel and its own options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from models.baselines.ols import pooled_ols_effects
from models.effects.comparators import characteristics_ipw_effects, lagged_aipw_effects
from models.effects.random_effects import random_effects
from models.effects.within import within_effects
from models.panel import ConsumerPanel

if TYPE_CHECKING:
    from models.hbmmm.fit import HBMMMFit

BOOTSTRAP_SEED = 20261122


@dataclass(frozen=True, eq=False)
class Estimates:
    """Effect rows of one estimator.

    Attributes
    ----------
    channel : one row per channel and estimand
    market, segment : the same with market_id, or segment_name and segment_value; None where it has no such rows
    members : (segment_name, segment_value) -> (N,) bool, which consumers of the panel the segment's rows are about
    divergences_count : divergent transitions of its sampler, NaN where it has none
    """

    channel: pd.DataFrame
    market: pd.DataFrame | None = None
    segment: pd.DataFrame | None = None
    members: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    divergences_count: float = np.nan


Estimator = Callable[[ConsumerPanel, dict], Estimates]


def _hbmmm(panel: ConsumerPanel, options: dict) -> Estimates:
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import fit_hbmmm
    from models.hbmmm.statistics import SufficientStatistics

    config = HBMMMConfig(**options)
    return estimates_of_fit(
        fit_hbmmm(
            SufficientStatistics.from_panel(panel, outcome=config.outcome), panel.characteristics, config
        ),
        panel,
    )


def estimates_of_fit(fit: HBMMMFit, panel: ConsumerPanel) -> Estimates:
    """Effects of an HBMMM fit on its own panel, by channel, market and segment."""
    from models.hbmmm.effects import compute_effects
    from models.hbmmm.segments import population_groups

    tables = compute_effects(fit, panel)
    groups = population_groups(fit, panel.characteristics)
    position = pd.Index(fit.consumer_ids).get_indexer(panel.consumer_ids)
    members = {
        (label["segment_name"], label["segment_value"]): groups.matrix[g].toarray().ravel()[position] > 0
        for g, label in enumerate(groups.labels)
        if label["level"] == "segment"
    }
    return Estimates(tables.channel, tables.market, tables.segment, members, float(fit.divergences_count))


def _two_part(panel: ConsumerPanel, options: dict) -> Estimates:
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.two_part import fit_two_part
    from models.hbmmm.two_part_effects import compute_two_part_effects

    fit = fit_two_part(panel, HBMMMConfig(**options))
    tables = compute_two_part_effects(fit, panel)
    return Estimates(tables.channel, tables.market, divergences_count=float(fit.amount.divergences_count))


def _within_consumer(panel: ConsumerPanel, options: dict) -> Estimates:
    """With each market's own regression, which shares nothing with the others, as its market rows."""
    parts = []
    for j, market_id in enumerate(panel.market_ids):
        keep = panel.market_index == j
        if keep.any():
            parts.append(within_effects(panel, keep=keep, **options).assign(market_id=market_id))
    return Estimates(within_effects(panel, **options), pd.concat(parts, ignore_index=True))


def _seeded(estimate: Callable[..., pd.DataFrame]) -> Estimator:
    return lambda panel, options: Estimates(estimate(panel, np.random.default_rng(BOOTSTRAP_SEED), **options))


ESTIMATORS: dict[str, Estimator] = {
    "hbmmm": _hbmmm,
    "hbmmm_two_part": _two_part,
    "within_consumer": _within_consumer,
    "random_effects": lambda panel, options: Estimates(random_effects(panel, **options)),
    "aipw_lagged": _seeded(lagged_aipw_effects),
    "ipw_characteristics": _seeded(characteristics_ipw_effects),
    "pooled_ols": lambda panel, options: Estimates(pooled_ols_effects(panel, **options)),
    "pooled_ols_covariates": lambda panel, options: Estimates(
        pooled_ols_effects(panel, with_covariates=True, **options)
    ),
}
