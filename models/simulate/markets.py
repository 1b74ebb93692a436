"""Market worlds whose every effect is known: spend, adstock, saturation, and GMV under any other spend.

GMV of market j in week t, per inhabitant, is

    b_j [1 + trend_j + season_t + shock_t + price_effect price_jt + demand_sd demand_jt + noise_jt]
        + sum_c beta_jc f_c(a_jtc),     a = geometric carry-over of spend per inhabitant, f the Hill curve,

with spend 0 before the first week and season and trend smooth. beta_jc is such that, over the simulated weeks, direct
contribution / spend is the market's ROI, drawn around the channel's. Spend is log-normal around a flight plan
common to all markets, a market's own plan and, where demand_on_spend, demand; with dark blocks of four weeks. The mean
is additive, so every counterfactual is computed and not estimated (market_truth.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.simulate.market_config import PERIODS_PER_YEAR, MarketChannelSpec, MarketWorldConfig
from models.transforms.carryover_kernels import carry_over, geometric_kernel
from models.transforms.saturation import saturate

DARK_PERIODS = 4
CURRENCY_CODE = "USD"


@dataclass(frozen=True, eq=False)
class MarketWorld:
    """One draw; J markets, T weeks, C channels. Truth first, then what is recorded.

    roi : (J, C) direct ROI by market; coefficients : (J, C) beta, money per inhabitant and week at full saturation
    level : (J,) money a week; baseline : (J, T) expected GMV without marketing, money; noise : (J, T) money
    demand : (J, T) unrecorded, sd 1; shock : (T,) share of the baseline
    own_spend : (J, T, C) what channels would spend without the funnel
    spend, impressions : (J, T, C); gmv : (J, T), money; population (J,); price, proxy : (J, T), proxy None without one
    """

    config: MarketWorldConfig
    seed: int
    market_ids: tuple[str, ...]
    period_starts: np.ndarray
    roi: np.ndarray
    coefficients: np.ndarray
    level: np.ndarray
    baseline: np.ndarray
    noise: np.ndarray
    demand: np.ndarray
    shock: np.ndarray
    own_spend: np.ndarray
    spend: np.ndarray
    population: np.ndarray
    price: np.ndarray
    proxy: np.ndarray | None

    @property
    def gmv(self) -> np.ndarray:
        """What is recorded, (J, T), money."""
        return self.expected_gmv(self.spend) + self.noise

    @property
    def impressions(self) -> np.ndarray:
        """(J, T, C): spend over the channel's cost."""
        return self.spend / np.array([channel.cost_per_impression for channel in self.config.channels])

    def expected_gmv(self, spend: np.ndarray) -> np.ndarray:
        """E[GMV], (J, T), money, had exactly `spend` (J, T, C) been spent, the funnel's target included."""
        return self.baseline + self.contributions(spend).sum(axis=-1)

    def contributions(self, spend: np.ndarray) -> np.ndarray:
        """Direct contribution of every channel to E[GMV] under `spend`, (J, T, C), money."""
        scale = self.population[:, None, None]
        return scale * self.coefficients[:, None, :] * curves(self.config, spend / scale)

    def spend_with_funnel(self, own_spend: np.ndarray) -> np.ndarray:
        """What is spent when channels start from `own_spend`: the funnel's target gets its source's share added."""
        return _with_funnel(self.config, own_spend, self.population)


def curves(config: MarketWorldConfig, spend: np.ndarray) -> np.ndarray:
    """f_c(adstock) in [0, 1) of spend per inhabitant (..., T, C), of every channel."""
    columns = [curve(config, channel, spend[..., c]) for c, channel in enumerate(config.channels)]
    return np.stack(columns, axis=-1)


def coefficients_of(
    config: MarketWorldConfig, roi: np.ndarray, spend: np.ndarray, population: np.ndarray
) -> np.ndarray:
    """Beta (J, C) with which the direct contribution of `spend` (J, T, C) is `roi` (J, C) times it."""
    responses = curves(config, spend / population[:, None, None]).sum(axis=1)
    total = spend.sum(axis=1) / population[:, None]
    return roi * np.divide(total, responses, out=np.zeros_like(total), where=responses > 0)


def curve(config: MarketWorldConfig, channel: MarketChannelSpec, spend: np.ndarray) -> np.ndarray:
    """f(adstock) of one channel's spend per inhabitant (..., T)."""
    carried = carry_over(spend, geometric_kernel(channel.decay, config.max_lag))
    return saturate("hill", carried, channel.half_saturation * channel.spend_mean, channel.slope)


def simulate_market_world(config: MarketWorldConfig, seed: int) -> MarketWorld:
    """Draw a world; the same config and seed give the same world.

    Each part draws from a stream of its own, so that a setting of one part leaves the draws of the others as they are.
    """
    names = ("levels", "shock", "price", "noise", "demand", "proxy", "spend", "roi")
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(len(names))]
    rng = dict(zip(names, streams, strict=True))
    markets, periods = config.markets_count, config.periods_count
    population = config.population_mean * np.exp(
        _centred(rng["levels"].normal(size=markets), config.population_sd)
    )
    level = config.baseline_mean * np.exp(_centred(rng["levels"].normal(size=markets), config.baseline_sd))
    trend = config.trend_sd * rng["levels"].normal(size=(markets, 1)) * np.arange(periods) / PERIODS_PER_YEAR
    shock = config.shock_sd * _autoregression(rng["shock"], (periods,), config.shock_autocorrelation)
    price = _autoregression(rng["price"], (markets, periods), 0.8)
    demand = _autoregression(rng["demand"], (markets, periods), config.demand_autocorrelation)
    share = 1 + trend + _season(config) + shock + config.price_effect * price + config.demand_sd * demand
    money = population * level
    own_spend = population[:, None, None] * _spend(config, demand, rng["spend"])
    spend = _with_funnel(config, own_spend, population)
    roi = _roi(config, rng["roi"])
    return MarketWorld(
        config=config,
        seed=seed,
        market_ids=tuple(f"m{j:03d}" for j in range(markets)),
        period_starts=np.datetime64(config.start_date) + 7 * np.arange(periods),
        roi=roi,
        coefficients=coefficients_of(config, roi, spend, population),
        level=money,
        baseline=money[:, None] * share,
        noise=money[:, None] * config.noise_sd * rng["noise"].normal(size=(markets, periods)),
        demand=demand,
        shock=shock,
        own_spend=own_spend,
        spend=spend,
        population=population,
        price=price,
        proxy=_proxy(config, demand, rng["proxy"]),
    )


def mart_frames(world: MarketWorld) -> dict[str, pd.DataFrame]:
    """The recorded part in the columns of the four market marts; worlds record no mediator but their channels."""
    markets, periods = world.baseline.shape
    j, t = (index.ravel() for index in np.indices((markets, periods)))
    ids = np.array(world.market_ids, dtype=object)
    keys = pd.DataFrame({"market_id": ids[j], "period_start_date": world.period_starts[t]})
    outcomes = keys.assign(gmv_net_amount=world.gmv[j, t], source_kind="market_outcomes")
    impressions = world.impressions
    activities = [
        keys.assign(
            channel_id=channel,
            exposures_count=np.nan,
            intensity=impressions[j, t, c],
            intensity_source="marketing_activities",
            spend_amount=world.spend[j, t, c],
            currency_code=CURRENCY_CODE,
            reach_count=np.nan,
            frequency=np.nan,
        )
        for c, channel in enumerate(world.config.channel_ids)
    ]
    named = {"price": world.price} | ({} if world.proxy is None else {"demand_proxy": world.proxy})
    covariates = [keys.assign(covariate_name=n, covariate_value=values[j, t]) for n, values in named.items()]
    return {
        "market_periods": outcomes,
        "market_channel_periods": pd.concat(activities, ignore_index=True),
        "market_covariate_periods": pd.concat(covariates, ignore_index=True),
        "mediator_periods": keys.iloc[:0].assign(mediator_name=[], mediator_value=[]),
    }


# ---------------------------------------------------------------------------------- draws
def _spend(config: MarketWorldConfig, demand: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Own spend per inhabitant, (J, T, C); each channel's expectation is its spend_mean."""
    markets, periods = demand.shape
    logs: dict[str, np.ndarray] = {}
    lit: dict[str, np.ndarray] = {}
    spend = np.empty((markets, periods, len(config.channels)))
    for c, channel in enumerate(config.channels):
        national = channel.national_sd * _autoregression(rng, (periods,), 0.8)
        plan = national + channel.local_sd * _autoregression(rng, (markets, periods), 0.6)
        sd = float(np.hypot(channel.national_sd, channel.local_sd))
        is_lit = _lit(rng, markets, periods, channel.dark_share)
        if channel.follows is not None:
            r, leader = channel.follows_correlation, logs[channel.follows]
            plan = r * leader * sd + np.sqrt(1 - r**2) * plan
            is_lit = lit[channel.follows]
        logs[channel.name], lit[channel.name] = plan / max(sd, 1e-12), is_lit
        logged = plan + config.demand_on_spend * demand
        variance = sd**2 + config.demand_on_spend**2
        spend[..., c] = channel.spend_mean / (1 - channel.dark_share) * is_lit * np.exp(logged - variance / 2)
    return spend


def _with_funnel(config: MarketWorldConfig, own_spend: np.ndarray, population: np.ndarray) -> np.ndarray:
    spend = np.array(own_spend)
    if config.funnel is None:
        return spend
    source, target = (config.channel_ids.index(n) for n in (config.funnel.source, config.funnel.target))
    leading, driven = config.channels[source], config.channels[target]
    reached = curve(config, leading, own_spend[..., source] / population[:, None])
    at_mean = saturate("hill", 1.0, leading.half_saturation, leading.slope)
    share = config.funnel.share
    added = population[:, None] * driven.spend_mean * share * reached / at_mean
    spend[..., target] = (1 - share) * own_spend[..., target] + added
    return spend


def _roi(config: MarketWorldConfig, rng: np.random.Generator) -> np.ndarray:
    z = rng.normal(size=(config.markets_count, len(config.channels)))
    sd = np.array([channel.roi_sd for channel in config.channels])
    return np.array([channel.roi for channel in config.channels]) * np.exp(_centred(z, sd))


def _lit(rng: np.random.Generator, markets: int, periods: int, dark_share: float) -> np.ndarray:
    blocks = rng.random((markets, -(-periods // DARK_PERIODS))) >= dark_share
    return np.repeat(blocks, DARK_PERIODS, axis=1)[:, :periods]


def _season(config: MarketWorldConfig) -> np.ndarray:
    angle = 2 * np.pi * np.arange(config.periods_count) / PERIODS_PER_YEAR
    return config.season_amplitude * (np.cos(angle) + 0.4 * np.sin(2 * angle))


def _proxy(config: MarketWorldConfig, demand: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    error, r = rng.normal(size=demand.shape), config.proxy_correlation
    return None if r is None else r * demand + np.sqrt(1 - r**2) * error


def _autoregression(rng: np.random.Generator, shape: tuple[int, ...], rho: float) -> np.ndarray:
    """Stationary AR(1) along the last axis, mean 0, sd 1."""
    drawn = rng.normal(size=shape)
    for t in range(1, shape[-1]):
        drawn[..., t] = rho * drawn[..., t - 1] + np.sqrt(1 - rho**2) * drawn[..., t]
    return drawn


def _centred(z: np.ndarray, sd: np.ndarray | float) -> np.ndarray:
    """Logs whose exponential has mean 1."""
    return sd * z - np.square(sd) / 2
