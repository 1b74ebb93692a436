"""The oracle of a market world: it knows everything but the coefficients, and its error is the least to hope for.

Known: adstock and curves, each market's level and noise variance, how much ROI differs between markets of a channel.
Not known: market trends, week effects, what price and demand do, and the ROI. With y the GMV over the market's level

    y_jt = level_j + trend_j t + week_t + price_jt g + demand_jt d + sum_c (mu_c + u_jc) k_jtc + noise_jt,

k the curve per unit of ROI, flat priors but u_jc ~ N(0, sd_c^2) with the true sd_c (of a log-normal, taken as normal):
the posterior is normal and exact. Contributions are linear in ROI, through the funnel too, so they are normal as well.
One market has no week effects: it gets waves of a year and half a year, the common shock counts as noise without
memory, and its intervals are too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import norm

from models.simulate.market_config import PERIODS_PER_YEAR
from models.simulate.market_truth import spend_with_channel_scaled, truth_table
from models.simulate.markets import MarketWorld, coefficients_of

FLAT_SD = 1e2  # of coefficients without a prior: ROI, and shares of the level
SMALLEST_SD = 1e-4  # of a ROI that does not differ between markets


@dataclass(frozen=True, slots=True, eq=False)
class _Posterior:
    """Mean (P,) and covariance (P, P); first the C common ROI, then the J x C deviations, market by market."""

    mean: np.ndarray
    covariance: np.ndarray


def oracle_roi(
    world: MarketWorld, effect: str = "total", knows_demand: bool = True, interval_level: float = 0.9
) -> pd.DataFrame:
    """ROI of every channel by market and over all (market_id None), in the rows of truth_table.

    knows_demand : whether demand is among the columns; without it, what even the true curves get wrong in confounded
        worlds
    Returns market_id, channel_id, mean, standard_deviation, interval_lower, interval_upper, truth.
    Raises ValueError for an interval_level outside (0, 1) or an effect that is none.
    """
    if not 0 < interval_level < 1:
        raise ValueError(f"interval_level is {interval_level}; it must lie in (0, 1).")
    ones = np.ones_like(world.roi)
    per_roi = replace(world, coefficients=coefficients_of(world.config, ones, world.spend, world.population))
    posterior = _fit(world, per_roi, knows_demand)
    weights = np.concatenate([_weights(per_roi, c, effect) for c in range(len(world.config.channels))])
    count = weights.shape[1]
    mean = weights @ posterior.mean[:count]
    sd = np.sqrt(np.einsum("ip,pq,iq->i", weights, posterior.covariance[:count, :count], weights))
    half = norm.ppf(0.5 + interval_level / 2) * sd
    truth = truth_table(world, effect)
    return truth[["market_id", "channel_id"]].assign(
        mean=mean,
        standard_deviation=sd,
        interval_lower=mean - half,
        interval_upper=mean + half,
        truth=truth["roi"],
    )


def _fit(world: MarketWorld, per_roi: MarketWorld, knows_demand: bool) -> _Posterior:
    config, (markets, periods, channels) = world.config, world.spend.shape
    curves = per_roi.contributions(world.spend) / world.level[:, None, None]
    deviations = np.einsum("jtc,jk->jtkc", curves, np.eye(markets)).reshape(markets, periods, -1)
    columns = [curves, deviations, *_nuisances(markets, periods), world.price[..., None]]
    if knows_demand:
        columns.append(world.demand[..., None])
    design = np.concatenate(columns, axis=-1).reshape(markets * periods, -1)
    spread = np.array([channel.roi * np.sqrt(np.expm1(channel.roi_sd**2)) for channel in config.channels])
    prior_sd = np.full(design.shape[1], FLAT_SD)
    prior_sd[channels : channels * (1 + markets)] = np.tile(np.maximum(spread, SMALLEST_SD), markets)
    variance = config.noise_sd**2 + (config.shock_sd**2 if markets == 1 else 0.0)
    covariance = np.linalg.inv(design.T @ design / variance + np.diag(prior_sd**-2.0))
    outcome = (world.gmv / world.level[:, None]).ravel()
    return _Posterior(covariance @ (design.T @ outcome) / variance, covariance)


def _nuisances(markets: int, periods: int) -> list[np.ndarray]:
    """Levels, trends (all but one, which the weeks hold) and weeks; for one market waves in the place of weeks."""
    own = np.broadcast_to(np.eye(markets)[:, None, :], (markets, periods, markets))
    trend = own * (np.arange(periods) / periods)[None, :, None]
    if markets == 1:
        angle = 2 * np.pi * np.arange(periods) / PERIODS_PER_YEAR
        waves = [wave(times * angle) for times in (1, 2) for wave in (np.cos, np.sin)]
        return [own, trend, np.stack(waves, axis=-1)[None]]
    return [
        own,
        trend[..., 1:],
        np.broadcast_to(np.eye(periods)[None, :, 1:], (markets, periods, periods - 1)),
    ]


def _weights(per_roi: MarketWorld, channel: int, effect: str) -> np.ndarray:
    """What turns coefficients into the channel's ROI by market and over all, (J + 1, P); P as far as ROI goes."""
    markets = len(per_roi.market_ids)
    off = spend_with_channel_scaled(per_roi, channel, 0.0, effect)
    lost = (per_roi.contributions(per_roi.spend) - per_roi.contributions(off)).sum(
        axis=1
    )  # (J, C) per unit of ROI
    own = np.einsum("jc,jk->jkc", lost, np.eye(markets)).reshape(markets, -1)
    by_market = np.concatenate([lost, own], axis=1)
    spend = per_roi.spend[..., channel].sum(axis=1)
    return np.concatenate([by_market / spend[:, None], by_market.sum(axis=0, keepdims=True) / spend.sum()])
