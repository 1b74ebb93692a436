"""What each channel of a market world did, by brute force: GMV computed again under the other spend.

Over the simulated weeks, W the world, s its spend, s' the spend that follows from the intervention:
    total contribution_jc = sum_t E[GMV_jt | s] - E[GMV_jt | own spend of c = 0 from the first week, funnel follows]
    direct contribution   = the same with the funnel's target held at s
    roi = contribution / spend of c;  marginal roi = [E | c's spend x (1 + h)] - [E | s] over h x spend, h = 0.001
What carries over beyond the last week is not counted. A channel driven by the funnel is set as a whole when it is the
one intervened on. National figures are sums over markets, ratios of sums.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.simulate.markets import MarketWorld

STEP = 1e-3
EFFECTS = ("total", "direct")


def spend_with_channel_scaled(world: MarketWorld, channel: int, factor: float, effect: str) -> np.ndarray:
    """Spend (J, T, C) had the channel (its position) spent `factor` times what it did; total: the funnel follows.

    Raises ValueError for an effect other than total and direct, or a factor below 0.
    """
    if effect not in EFFECTS or factor < 0:
        raise ValueError(
            f"effect {effect!r}, factor {factor}: give one of {', '.join(EFFECTS)} and 0 or more."
        )
    funnel, names = world.config.funnel, world.config.channel_ids
    if effect == "total" and funnel is not None and names[channel] == funnel.source:
        own = np.array(world.own_spend)
        own[..., channel] *= factor
        return world.spend_with_funnel(own)
    spend = np.array(world.spend)
    spend[..., channel] *= factor
    return spend


def contribution(world: MarketWorld, channel: int, effect: str = "total") -> np.ndarray:
    """Contribution of the channel (its position), (J, T), money."""
    off = spend_with_channel_scaled(world, channel, 0.0, effect)
    return world.expected_gmv(world.spend) - world.expected_gmv(off)


def truth_table(world: MarketWorld, effect: str = "total") -> pd.DataFrame:
    """market_id (None: all markets), channel_id, spend, contribution, roi, marginal_roi: J x C + C rows."""
    rows = []
    for c, channel in enumerate(world.config.channel_ids):
        spend = world.spend[..., c].sum(axis=1)
        total = contribution(world, c, effect).sum(axis=1)
        more = world.expected_gmv(spend_with_channel_scaled(world, c, 1 + STEP, effect))
        gained = (more - world.expected_gmv(world.spend)).sum(axis=1) / STEP
        markets = [*zip(world.market_ids, spend, total, gained, strict=True)]
        for market, s, t, g in [*markets, (None, spend.sum(), total.sum(), gained.sum())]:
            rows.append((market, channel, s, t, t / s, g / s))
    columns = ["market_id", "channel_id", "spend", "contribution", "roi", "marginal_roi"]
    return pd.DataFrame(rows, columns=columns)
