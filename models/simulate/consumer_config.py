"""Settings of a simulated consumer world, with the paper's published figures as defaults.

Sources: Ni et al. 2023, Table 5 (means and standard deviations of exposures, purchases, age, income),
Table 6 (slopes and their spread), section 5.1 (segments that respond more).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date

import numpy as np

GMV_MEAN = 127.84  # Table 5: monthly purchase amount, dollars
LOG_INTERCEPT_MEAN, LOG_INTERCEPT_SD = 2.487, 0.872  # Table 6: mu_alpha, sigma_alpha
MONTHS_PER_PERIOD = {"month": 1.0, "week": 12 / 52}
HIGH_INCOME = 100.0  # thousand dollars a year, from which income counts as high
SEGMENTS = ("age_18_34", "age_55_plus", "income_high")


@dataclass(frozen=True)
class ChannelSpec:
    """One channel of a simulated world.

    Attributes
    ----------
    name : channel_id
    exposures_mean, exposures_sd : exposures of one consumer in a *month* (Table 5)
    slope_mean, slope_sd : Table 6, per standard deviation of exposures; read as a share of mean GMV in the
        money world and as log points in the log1p world
    targeting_share : share of the variance of log exposure rates that follows the latent purchase
        propensity when confounding is 1
    segment : the segment that responds more (one of SEGMENTS), or None
    cost_per_exposure : dollars, None where unknown
    carryover : share of the adstock left after one period (of the world, month or week): response is to
        sum_l carryover^l exposures of l periods ago. 0: none. The slope is that of the own period
    """

    name: str
    exposures_mean: float
    exposures_sd: float
    slope_mean: float
    slope_sd: float
    targeting_share: float
    segment: str | None = None
    cost_per_exposure: float | None = None
    carryover: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.exposures_mean:
            raise ValueError(
                f"Channel {self.name!r}: exposures_mean is {self.exposures_mean}; it must be above 0."
            )
        if self.exposures_sd**2 <= self.exposures_mean:
            raise ValueError(
                f"Channel {self.name!r}: exposures_sd {self.exposures_sd} is not above the Poisson value "
                f"{math.sqrt(self.exposures_mean):.2f}; exposures here are overdispersed counts. Give a larger sd."
            )
        if self.slope_mean < 0 or self.slope_sd < 0:
            raise ValueError(f"Channel {self.name!r}: slope_mean and slope_sd must be 0 or more.")
        if not 0 <= self.targeting_share <= 0.7:
            raise ValueError(
                f"Channel {self.name!r}: targeting_share is {self.targeting_share}; it must lie in [0, 0.7], "
                "because characteristics and chance need the rest."
            )
        if not 0 <= self.carryover < 1:
            raise ValueError(
                f"Channel {self.name!r}: carryover is {self.carryover}; it must lie in [0, 1), a share left over."
            )
        if self.segment is not None and self.segment not in SEGMENTS:
            raise ValueError(
                f"Channel {self.name!r}: segment {self.segment!r} is none of {', '.join(SEGMENTS)}."
            )

    @property
    def log_variance(self) -> float:
        """Variance of the log exposure rate that gives `exposures_sd` on top of Poisson noise."""
        return math.log1p((self.exposures_sd**2 - self.exposures_mean) / self.exposures_mean**2)

    @property
    def money_slope_mean(self) -> float:
        """Dollars of the first exposure, mean over consumers: mu_beta x 127.84 / sd of exposures."""
        return self.slope_mean * GMV_MEAN / self.exposures_sd


PAPER_CHANNELS = (
    ChannelSpec("tv", 12.37, 8.92, 0.042, 0.031, 0.25, "age_55_plus", 0.02),
    ChannelSpec("digital", 45.63, 32.18, 0.035, 0.028, 0.35, None, 0.004),
    ChannelSpec("email", 3.82, 2.75, 0.058, 0.037, 0.40, "income_high", None),
    ChannelSpec("social", 6.41, 5.87, 0.029, 0.025, 0.30, "age_18_34", 0.01),
)


def null_channel(name: str = "retargeting") -> ChannelSpec:
    """A channel without any effect that is targeted more strongly than every other."""
    return ChannelSpec(name, 4.0, 6.0, 0.0, 0.0, 0.60, None, 0.05)


@dataclass(frozen=True)
class ConsumerWorldConfig:
    """A simulated world; all choices are checked here, before anything is drawn.

    Attributes
    ----------
    consumers_count, markets_count : sizes
    periods_count : periods in all, the pre-period included
    pre_periods_count : first periods, used for recency, frequency, monetary value and the spend stratum only
    period : month or week; rates are scaled from months
    start_date : first day of the first period (a month's first day, or a Monday)
    channels : channels with an effect; `null_channel_name` (None for none) is added to them
    outcome : 'money' (compound Poisson-Gamma dollars) or 'log1p' (log1p of dollars linear in z-scored
        exposures, the paper's own world; one transaction a period and no returns)
    confounding : 0 to 1, how far the latent purchase propensity drives exposures (it always drives GMV)
    time_varying_confounding : sd of an autocorrelated monthly demand shock that also drives exposures
    feedback : log points by which a purchase in the last period raises exposures now, at full targeting
    saturation_scale : exposures at which response visibly bends, as a multiple of the channel's mean;
        response is h log1p(x / h). None: linear. Where exposure carries over, x is the adstock and its mean counts
    joiners_share : share first seen after the first period
    leavers_share, leavers_unknown_share : share who leave, and the share of those whose end is not recorded
        (active_until null). Consumers who stay never have an active_until
    returns_share : probability that a purchase comes back whole
    missing_share : share of values missing in each characteristic (income: more often on the basic plan)
    log_noise_sd : noise of log1p GMV; the paper does not print it (0.85 matches its 30 % cut in error)
    """

    consumers_count: int = 2_000
    markets_count: int = 10
    periods_count: int = 24
    pre_periods_count: int = 3
    period: str = "month"
    start_date: date = date(2021, 1, 1)
    channels: tuple[ChannelSpec, ...] = field(default=PAPER_CHANNELS)
    null_channel_name: str | None = "retargeting"
    outcome: str = "money"
    confounding: float = 0.5
    time_varying_confounding: float = 0.0
    feedback: float = 0.0
    saturation_scale: float | None = 3.0
    joiners_share: float = 0.15
    leavers_share: float = 0.15
    leavers_unknown_share: float = 0.7
    returns_share: float = 0.04
    missing_share: float = 0.08
    log_noise_sd: float = 0.85

    def __post_init__(self) -> None:
        for name, least in (("consumers_count", 2), ("markets_count", 1), ("pre_periods_count", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more.")
        if self.periods_count < self.pre_periods_count + 3:
            raise ValueError(
                f"periods_count {self.periods_count} leaves fewer than 3 periods after the pre-period of "
                f"{self.pre_periods_count}. Give more periods or a shorter pre-period."
            )
        if self.period not in MONTHS_PER_PERIOD:
            raise ValueError(
                f"period is {self.period!r}; a world runs in one of {', '.join(MONTHS_PER_PERIOD)}."
            )
        if self.period == "month" and self.start_date.day != 1:
            raise ValueError(f"start_date {self.start_date} is not the first day of a month.")
        if self.period == "week" and self.start_date.weekday() != 0:
            raise ValueError(f"start_date {self.start_date} is not a Monday, on which these weeks start.")
        if self.outcome not in ("money", "log1p"):
            raise ValueError(f"outcome is {self.outcome!r}; it must be 'money' or 'log1p'.")
        shares = ("confounding", "joiners_share", "leavers_share", "leavers_unknown_share", "missing_share")
        for name in (*shares, "returns_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in [0, 1].")
        for name in ("time_varying_confounding", "feedback"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more.")
        if self.outcome == "log1p" and self.decays.any():
            raise ValueError(
                "A log1p world is the paper's, without carry-over; set carryover 0 or outcome 'money'."
            )
        if self.saturation_scale is not None and self.saturation_scale <= 0:
            raise ValueError(f"saturation_scale is {self.saturation_scale}; give a value above 0, or None.")
        names = [c.name for c in self.all_channels]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"Channel names must be distinct and at least one, got {names}.")

    @property
    def all_channels(self) -> tuple[ChannelSpec, ...]:
        """The channels with an effect and the null channel, in name order (the order of channel_ids)."""
        extra = () if self.null_channel_name is None else (null_channel(self.null_channel_name),)
        return tuple(sorted((*self.channels, *extra), key=lambda channel: channel.name))

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """Names of all channels, sorted."""
        return tuple(channel.name for channel in self.all_channels)

    @property
    def bends(self) -> np.ndarray:
        """Adstock at which each channel's response visibly bends, (C,); infinite where linear."""
        multiple = np.inf if self.saturation_scale is None else self.saturation_scale
        months = MONTHS_PER_PERIOD[self.period]
        means = np.array([channel.exposures_mean for channel in self.all_channels]) * months
        return multiple * means / (1.0 - self.decays)

    @property
    def decays(self) -> np.ndarray:
        """Share of each channel's adstock left after one period, (C,)."""
        return np.array([channel.carryover for channel in self.all_channels])

    @property
    def exposure_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of exposures per period (Table 5, scaled from months), (C,) each."""
        months = MONTHS_PER_PERIOD[self.period]
        mean = np.array([channel.exposures_mean for channel in self.all_channels])
        sd = np.array([channel.exposures_sd for channel in self.all_channels])
        return mean * months, sd * months


def response(exposures: np.ndarray, bends: np.ndarray) -> np.ndarray:
    """g(x) = h log1p(x / h), or x where h is infinite; slope 1 at 0. (..., C) exposures, (C,) bends."""
    exposures = np.asarray(exposures, dtype=float)
    return exposures if np.isinf(bends).any() else bends * np.log1p(exposures / bends)
