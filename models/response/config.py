"""Settings of one response fit: what the model holds, its priors, the sampler. Checked when built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from models.response.priors import ChannelPriors, LogNormal, transform_priors
from models.transforms.carryover_kernels import KERNELS
from models.transforms.saturation import SATURATIONS

SHOCKS = ("autoregressive", "independent", "none")
MARKET_SPREAD, TREND_SPREAD = LogNormal(0.2, 0.8), LogNormal(0.05, 1.0)
SHOCK_SPREAD, NOISE = LogNormal(0.5, 1.0), LogNormal(0.7, 0.7)


@dataclass(frozen=True, slots=True)
class ResponseConfig:
    """Everything a fit depends on besides the data and its scaling.

    Shares are of a market's mean recorded KPI (scaling.py).

    kernel, saturation : names of transforms.carryover_kernels and transforms.saturation, one of each for all channels
    max_lag : earlier periods from which exposure carries over
    priors : by channel_id; channels not named take the defaults
    market_spread : by how much a channel's effect differs between markets, sd as a share of its mean over markets (of
        the prior's sd where the sign is free); not used for one market
    controls : names of panel.control_names that are adjusted for; None: all
    has_trend : a common linear trend, and one of every market around it
    trend_spread : sd of the markets' trends, share a year
    seasonality_order : pairs of waves a year, the same in every market; 0: none
    shocks : common to all markets, by period: "autoregressive" (memory learned), "independent" or "none". For one
        market they are the memory of its noise.
    shock_spread, noise : sd of shocks, and of noise by market and period, as multiples of Scaling.kpi_spread
    noise_differs : log sd of noise between markets; 0: the same in all
    level_sd, trend_sd, season_sd, control_sd : of normal priors on levels (mean 1), the common trend (share a year),
        waves, and controls (share per sd of the control)
    chains, draws : NUTS chains, and kept draws a chain
    tune : draws a chain that the metric is learned from; half as many before them and the kept ones tune the step
    threads : chains that run side by side; draws do not depend on it
    target_accept : mean acceptance asked for
    kept_draws : draws at most, spread evenly over the chains, for which the integrated-out part is drawn and kept
    seed : of everything random
    interval_level : mass of every interval
    """

    kernel: str = "geometric"
    saturation: str = "hill"
    max_lag: int = 12
    priors: Mapping[str, ChannelPriors] = field(default_factory=dict)
    market_spread: LogNormal = MARKET_SPREAD
    controls: tuple[str, ...] | None = None
    has_trend: bool = True
    trend_spread: LogNormal = TREND_SPREAD
    seasonality_order: int = 2
    shocks: Literal["autoregressive", "independent", "none"] = "autoregressive"
    shock_spread: LogNormal = SHOCK_SPREAD
    noise: LogNormal = NOISE
    noise_differs: float = 0.4
    level_sd: float = 1.0
    trend_sd: float = 0.3
    season_sd: float = 0.3
    control_sd: float = 0.3
    chains: int = 4
    draws: int = 500
    tune: int = 200
    target_accept: float = 0.65
    threads: int = 1
    kept_draws: int = 1000
    seed: int = 0
    interval_level: float = 0.9

    def __post_init__(self) -> None:
        for name, choices in (("kernel", KERNELS), ("saturation", SATURATIONS), ("shocks", SHOCKS)):
            self._require(name, getattr(self, name) in choices, f"be one of {', '.join(choices)}")
        for name in ("max_lag", "seasonality_order", "noise_differs", "seed"):
            self._require(name, getattr(self, name) >= 0, "be 0 or more")
        for name in ("level_sd", "trend_sd", "season_sd", "control_sd"):
            self._require(name, getattr(self, name) > 0, "be above 0")
        self._require("chains", self.chains >= 2, "be 2 or more, or R-hat would compare nothing")
        for name, least in (("draws", 20), ("tune", 20), ("threads", 1), ("kept_draws", 1)):
            self._require(name, getattr(self, name) >= least, f"be {least} or more")
        for name in ("target_accept", "interval_level"):
            self._require(name, 0 < getattr(self, name) < 1, "lie in (0, 1)")
        for priors in (ChannelPriors(), *self.priors.values()):
            transform_priors(self.kernel, self.saturation, priors.transforms, self.max_lag)

    def _require(self, name: str, holds: bool, must: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must {must}.")
