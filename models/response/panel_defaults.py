"""A fit of a panel that nobody said anything about: lags by the length of a period, priors by the amounts."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.response.config import ResponseConfig
from models.response.market_panel import MarketPanel
from models.response.priors import DEFAULT_CONTRIBUTION, DEFAULT_ROI, ChannelPriors

#: Earlier periods that exposure may carry over from.
MAX_LAG = {"day": 28, "week": 12, "month": 3}
#: Share of GMV that the median ROI of the prior would give to all channels together, where ROI priors make sense.
PRESUMED_SHARE = (0.01, 1.0)


def config_for_panel(panel: MarketPanel, controls: tuple[str, ...], **settings: Any) -> ResponseConfig:
    """Defaults for this panel; settings: further fields of ResponseConfig."""
    priors = {} if roi_priors_fit(panel) else _contribution_priors(panel)
    return ResponseConfig(controls=controls, max_lag=MAX_LAG[panel.period], priors=priors, **settings)


def presumed_share(panel: MarketPanel) -> float:
    """Share of recorded GMV that channels with known spend would bring at the median ROI of the default prior."""
    spend = np.nansum(panel.spend[panel.is_observed][:, panel.has_spend])
    return float(DEFAULT_ROI.prior.median * spend / np.nansum(panel.kpi))  # type: ignore[union-attr]


def roi_priors_fit(panel: MarketPanel) -> bool:
    """Whether ROI around 1 is a sensible guess.

    It presumes that GMV and spend are amounts of one size: where GMV is in thousands and spend in units, a prior of ROI
    around 1 would say that media bring nothing, or everything. Priors are then of shares of GMV, which have no unit.
    """
    lower, upper = PRESUMED_SHARE
    return bool(lower <= presumed_share(panel) <= upper)


def _contribution_priors(panel: MarketPanel) -> dict[str, ChannelPriors]:
    return {
        str(channel): ChannelPriors(DEFAULT_CONTRIBUTION)
        for channel, known in zip(panel.channel_ids, panel.has_spend, strict=True)
        if known
    }
