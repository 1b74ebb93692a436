"""Settings of the simulated funnel shops, shaped like the AirMMM data of Gong et al. (WSDM 2024, table 8)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

BRAND_IDS = ("x-brand-0", "x-brand-1", "x-brand-2", "x-brand-3", "x-interact", "x-feed")
EFFECT_IDS = ("x-live", "x-search-0", "x-search-1", "x-search-2", "x-effect")
VIEWS_ID, OUTCOME_ID = "pv", "gmv"
NODE_IDS = (*BRAND_IDS, *EFFECT_IDS, VIEWS_ID, OUTCOME_ID)
PLANNED_IDS = BRAND_IDS[:4]  # bought in flights, ahead of time
CONTEXT_IDS = ("economy", "event", "category", "price_tier", "shop_age")
LABEL = "simulated funnel shops (shaped like AirMMM; no AirMMM data are in it)"


@dataclass(frozen=True, slots=True)
class EdgeKind:
    """Edges between two groups of nodes: how often they exist, how strongly they act.

    probability: of an edge in a structure. least: edges of this kind a target (or, for a single source, a structure)
        has at the least.
    strength: log points of the target's level for one unit of the source's log1p input held over all lags.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    probability: float
    least: int
    strength: float


EDGE_KINDS = (
    EdgeKind(BRAND_IDS, (VIEWS_ID,), 0.6, 2, 0.45),
    EdgeKind((VIEWS_ID,), EFFECT_IDS[1:], 0.6, 1, 0.9),
    EdgeKind(BRAND_IDS, EFFECT_IDS[1:4], 0.15, 0, 0.4),
    EdgeKind(EFFECT_IDS[:1], (VIEWS_ID,), 0.3, 0, 0.4),
    EdgeKind(EFFECT_IDS, (OUTCOME_ID,), 0.6, 2, 0.45),
    EdgeKind((VIEWS_ID,), (OUTCOME_ID,), 0.8, 0, 0.8),
    EdgeKind(BRAND_IDS, (OUTCOME_ID,), 0.1, 0, 0.3),
)


@dataclass(frozen=True, kw_only=True)
class FunnelConfig:
    """A family of worlds. Levels are logarithms; every noise is the sd of one day's shock in log points.

    shops_count, periods_count, start_date: 50 shops, every day from 2021-01-30 to 2022-12-06, as in the paper.
    structures_count: graphs the shops share. lags_count: days an effect lasts.
    spend_noise, views_noise, outcome_noise and their autocorrelations: of the level's own AR(1) deviation.
    weekly_sd, yearly_sd: of the day-of-week and of the yearly pattern of a node.
    event_lift: log points of GMV on the strongest event day; spend on effect channels rises by half of it.
    shop_sd: how much weights differ between shops of one structure, log points.
    """

    shops_count: int = 50
    periods_count: int = 676
    start_date: dt.date = dt.date(2021, 1, 30)
    structures_count: int = 5
    lags_count: int = 7
    spend_noise: float = 0.3
    spend_autocorrelation: float = 0.5
    views_noise: float = 0.12
    views_autocorrelation: float = 0.5
    outcome_noise: float = 0.2
    outcome_autocorrelation: float = 0.4
    weekly_sd: float = 0.1
    yearly_sd: float = 0.12
    event_lift: float = 0.8
    shop_sd: float = 0.3

    def __post_init__(self) -> None:
        if min(self.shops_count, self.structures_count, self.lags_count) < 1 or self.periods_count < 14:
            raise ValueError(
                f"{self.shops_count} shops, {self.structures_count} structures, {self.lags_count} lags and "
                f"{self.periods_count} periods were asked for; 1 of each and 14 periods are the least."
            )
        for name in ("spend_autocorrelation", "views_autocorrelation", "outcome_autocorrelation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}; levels stay put only in [0, 1).")
