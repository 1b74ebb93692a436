"""What follows spend in the same period, taken out of the channels' effects: for spend that follows demand.

Where budgets rise with a demand that nobody records, KPI and spend move together for a reason that is no effect. A
control per channel, the logarithm of its exposures about the market's own mean (0 where nothing was shown), takes up
whatever goes along with log spend at once, alike in all markets; it counts to the baseline. What is left to tell the
effect by is carry-over, curvature, what differs between markets, and lift tests, whose counterfactual leaves controls
as they are. Intervals widen. What it buys where demand drives spend, and what it costs where it does not:
docs/studies/demand.md. A demand that acts later, or otherwise than by proportion, is not taken out.

A forecast needs a value for every control. What demand will be is not known from planned spend; plan their means, which
`typical_controls` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.response.fit import ResponseFit
from models.response.market_panel import MarketPanel

NAME = "demand[{}]"


def with_demand_controls(panel: MarketPanel, channel_ids: Sequence[str] | None = None) -> MarketPanel:
    """The panel with a control demand[channel] for each channel (all by default), after those it has.

    Raises PanelError for channels that the panel does not have, and ValueError for one that has its control already.
    """
    chosen = list(map(str, panel.channel_ids)) if channel_ids is None else list(channel_ids)
    names = [NAME.format(channel) for channel in chosen]
    repeated = sorted(set(names) & set(panel.control_names))
    if repeated:
        raise ValueError(f"the panel has {', '.join(repeated)} already; add controls of demand once.")
    added = [_deviations(panel.intensity[..., panel.channel_index(channel)]) for channel in chosen]
    return replace(
        panel,
        controls=np.concatenate([panel.controls, np.stack(added, axis=-1)], axis=-1),
        control_names=(*panel.control_names, *names),
    )


def typical_controls(fit: ResponseFit, periods_count: int) -> np.ndarray:
    """(J, H, Q) of the fit's controls at their means over what is recorded, for scenarios.Scenario."""
    mean = np.array(fit.scaling.control_mean)
    return np.broadcast_to(mean, (len(fit.scaling.market_ids), periods_count, len(mean))).copy()


def _deviations(intensity: np.ndarray) -> np.ndarray:
    """log x less its mean over the market's lit periods, 0 in the dark; (J, T)."""
    is_lit = intensity > 0
    logged = np.log(np.where(is_lit, intensity, 1.0))
    count = np.maximum(is_lit.sum(axis=1, keepdims=True), 1)
    return np.where(is_lit, logged - logged.sum(axis=1, keepdims=True) / count, 0.0)
