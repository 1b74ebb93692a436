"""Settings of a simulated market world: channels whose adstock, saturation and ROI are known, checked when built."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

PERIODS_PER_YEAR = 52


@dataclass(frozen=True, slots=True)
class MarketChannelSpec:
    """One channel. Amounts are per inhabitant and week.

    name : channel_id
    spend_mean : mean spend, money
    national_sd, local_sd : log points by which spend varies with a flight plan common to all markets, and by market
    dark_share : share of four-week blocks of a market without spend
    decay : of the geometric carry-over over MarketWorldConfig.max_lag earlier weeks, normalised
    half_saturation : adstock at which the Hill curve is half, as a multiple of spend_mean
    slope : of the Hill curve
    roi : money of GMV per money of spend over the simulated periods, direct effect, mean over markets; 0 is a placebo
    roi_sd : log standard deviation of ROI over markets
    follows, follows_correlation : a channel whose log spend this one's has that correlation with, dark weeks included
    cost_per_impression : money
    """

    name: str
    spend_mean: float
    roi: float
    roi_sd: float = 0.3
    decay: float = 0.5
    half_saturation: float = 1.5
    slope: float = 1.2
    national_sd: float = 0.3
    local_sd: float = 0.5
    dark_share: float = 0.15
    follows: str | None = None
    follows_correlation: float = 0.0
    cost_per_impression: float = 0.01

    def __post_init__(self) -> None:
        for field in ("spend_mean", "half_saturation", "slope", "cost_per_impression"):
            self._require(field, getattr(self, field) > 0, "be above 0")
        for field in ("roi", "roi_sd", "national_sd", "local_sd"):
            self._require(field, getattr(self, field) >= 0, "be 0 or more")
        for field in ("decay", "dark_share", "follows_correlation"):
            self._require(field, 0 <= getattr(self, field) < 1, "lie in [0, 1)")
        self._require(
            "follows", (self.follows is None) == (self.follows_correlation == 0), "come with a correlation"
        )
        self._require("follows", self.follows != self.name, "be another channel")

    def _require(self, field: str, holds: bool, must: str) -> None:
        if not holds:
            raise ValueError(f"Channel {self.name!r}: {field} is {getattr(self, field)}; it must {must}.")


@dataclass(frozen=True, slots=True)
class FunnelSpec:
    """The channel `source` drives what the channel `target` spends (clicks on search bring cost).

    share : of the target's mean spend that the source, at its own mean, brings
    target's spend per inhabitant = own process x (1 - share) + spend_mean x share x f(adstock) / f(spend_mean), with
    the source's own carry-over and curve f.
    """

    source: str
    target: str
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.source == self.target or not 0 < self.share < 1:
            raise ValueError(
                f"funnel from {self.source!r} to {self.target!r} with share {self.share}: give two channels and a "
                "share in (0, 1)."
            )


@dataclass(frozen=True, slots=True)
class MarketWorldConfig:
    """A world of markets x weeks x channels.

    markets_count, periods_count : sizes; 1 market is a national series
    start_date : a Monday
    channels : with distinct names
    max_lag : earlier weeks over which exposure carries over
    population_mean, population_sd : inhabitants of a market, mean, and sd of their log
    baseline_mean, baseline_sd : GMV per inhabitant and week without marketing, mean over markets, and sd of its log
    The rest in shares of the baseline: trend_sd (a year, by market), season_amplitude, shock_sd (common to all markets,
    by week, autocorrelation shock_autocorrelation), price_effect (of one sd of the recorded price index), noise_sd
    (by market and week).
    demand_sd : of an unrecorded local demand in shares of the baseline, autocorrelation demand_autocorrelation
    demand_on_spend : log points of every channel's spend per sd of demand (confounding)
    proxy_correlation : of the recorded proxy with demand; None: none is recorded
    funnel : one channel that drives another, or None
    """

    channels: tuple[MarketChannelSpec, ...]
    markets_count: int = 20
    periods_count: int = 156
    start_date: date = date(2021, 1, 4)
    max_lag: int = 12
    population_mean: float = 500_000.0
    population_sd: float = 0.7
    baseline_mean: float = 10.0
    baseline_sd: float = 0.2
    trend_sd: float = 0.05
    season_amplitude: float = 0.12
    shock_sd: float = 0.04
    shock_autocorrelation: float = 0.5
    price_effect: float = -0.03
    noise_sd: float = 0.05
    demand_sd: float = 0.0
    demand_autocorrelation: float = 0.7
    demand_on_spend: float = 0.0
    proxy_correlation: float | None = None
    funnel: FunnelSpec | None = None

    def __post_init__(self) -> None:
        for field, least in (("markets_count", 1), ("periods_count", 8), ("max_lag", 0)):
            if getattr(self, field) < least:
                raise ValueError(f"{field} is {getattr(self, field)}; it must be {least} or more.")
        if self.start_date.weekday() != 0:
            raise ValueError(f"start_date {self.start_date} is not a Monday, on which these weeks start.")
        for field in ("population_mean", "baseline_mean", "noise_sd"):
            if not getattr(self, field) > 0:
                raise ValueError(f"{field} is {getattr(self, field)}; it must be above 0.")
        for field in (
            "population_sd",
            "baseline_sd",
            "trend_sd",
            "season_amplitude",
            "shock_sd",
            "demand_sd",
        ):
            if not getattr(self, field) >= 0:
                raise ValueError(f"{field} is {getattr(self, field)}; it must be 0 or more.")
        for field in ("shock_autocorrelation", "demand_autocorrelation"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}; it must lie in [0, 1).")
        if self.proxy_correlation is not None and not (
            0 < self.proxy_correlation <= 1 and self.demand_sd > 0
        ):
            raise ValueError(
                f"proxy_correlation is {self.proxy_correlation} with demand_sd {self.demand_sd}; a proxy has a "
                "correlation in (0, 1] with a demand that varies."
            )
        if self.demand_on_spend and not self.demand_sd:
            raise ValueError(
                "demand_on_spend without demand_sd: the demand would confound nothing. Give both."
            )
        self._require_channels()

    def _require_channels(self) -> None:
        names = self.channel_ids
        if not names or len(set(names)) != len(names):
            raise ValueError(f"Channel names must be distinct and at least one, got {list(names)}.")
        for position, channel in enumerate(self.channels):
            if channel.follows is not None and channel.follows not in names[:position]:
                raise ValueError(
                    f"Channel {channel.name!r} follows {channel.follows!r}; name an earlier channel."
                )
        funnel = self.funnel
        if funnel is not None and not {funnel.source, funnel.target} <= set(names):
            raise ValueError(
                f"the funnel goes from {funnel.source!r} to {funnel.target!r}; channels are {list(names)}."
            )

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """Names of the channels, in their order."""
        return tuple(channel.name for channel in self.channels)
