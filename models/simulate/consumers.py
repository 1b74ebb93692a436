"""Consumer worlds with known effects: the paper's Tables 5 and 6, with confounding on or off.

Money world (default). Consumer i in market j and period t buys a compound Poisson-Gamma amount with mean

    m_it = B exp(0.60 u_i + characteristics + market + own) season_t price_jt + sum_c b_ic g_c(x_ict)

where u_i is the latent purchase propensity nobody records, b_ic >= 0 dollars per first exposure (mean
mu_beta_c x 127.84 / sd_c, so that Table 6 is a share of mean GMV per sd of exposures; spread over markets,
segments and chance as sigma_beta_c), and g_c(x) = h_c log1p(x / h_c) bends mildly. Where a channel carries over, its
x_ict is the adstock, sum_l d_c^l exposures of l periods ago (0 before the first period). Exposures are
overdispersed counts whose rates follow characteristics and, by `confounding`, u_i. The null channel has b = 0
and follows u_i the most. Because the mean is additive, every effect of exposure is known exactly.

log1p world: log1p(y_it) = alpha_i + sum_c beta_ic z_ict + season + price + e_it with Table 6's values, z the
exposures less mean over sd of Table 5; the amount is cut at 0 (about 2 % of rows).

Truth is on net GMV: gross effects times (1 - returns_share). A return is booked a few days after its purchase
and may fall into the next period; that share (about 0.04 x 0.2 of an effect) counts for the exposure's period.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from models.panel import ConsumerPanel
from models.simulate.consumer_config import (
    GMV_MEAN,
    HIGH_INCOME,
    LOG_INTERCEPT_MEAN,
    LOG_INTERCEPT_SD,
    MONTHS_PER_PERIOD,
    ChannelSpec,
    ConsumerWorldConfig,
    response,
)
from models.simulate.consumer_marts import build_mart_frames
from models.simulate.consumer_tables import build_tables
from models.simulate.consumer_truth import build_truth

# Money world, calibrated to Table 5: mean 127.84, sd 215.63, and 45 % months without a purchase.
PURCHASE_MEAN = 120.0  # dollars of one purchase
PURCHASE_SHAPE = 1.4  # Gamma shape of one purchase
PROPENSITY_LOADING = 0.60  # log points of base GMV per sd of latent propensity
OWN_SD = 0.68  # log points of base GMV that nothing explains
MARKET_SD = 0.15
INCOME_LOADING, AGE_LOADING = 0.20, 0.05  # log points per sd
PLAN_LOADINGS = {"basic": -0.20, "plus": 0.10, "family": 0.25}
PLAN_SHARES = (0.5, 0.3, 0.2)
ACQUISITION_SOURCES, ACQUISITION_SHARES = ("organic", "paid", "referral"), (0.5, 0.35, 0.15)
PRICE_ELASTICITY = -0.8
HOLIDAY_LIFT = 0.25  # log points of demand in a full holiday month
# Shares of the variance of log exposure rates; propensity takes targeting_share x confounding^2, the rest varies
# within a consumer from period to period.
CHARACTERISTIC_SHARE, OWN_SHARE = 0.08, 0.20
FLIGHT_SD = 0.10  # market x period campaign weight, the same for all consumers of a market
SLOPE_MARKET_SD = 0.15
SEGMENT_FACTOR = 1.6  # a responsive segment against the others (section 5.1; the size is ours)
AGE_RANGE, AGE_MEAN, AGE_SD = (18.0, 80.0), 38.72, 13.45
INCOME_RANGE, INCOME_MEAN, INCOME_SD = (20.0, 250.0), 72.56, 41.23
SHOCK_AUTOCORRELATION = 0.6


@dataclass(frozen=True, eq=False)
class ConsumerWorld:
    """One drawn world: what an analyst receives (`tables`) and what only we know.

    Attributes
    ----------
    config : the settings
    tables : contract-shaped frames: transactions, exposures, consumers, market_covariates, marketing_activities
    consumer_ids : (N,) sorted; period_starts : (T,) datetime64[D]; period_end : first day after the last
    consumers : (N,) frame with what is hidden too (propensity, true characteristics, market)
    exposures : (N, T, C) counts that were drawn; adstock : (N, T, C) what they carry over to, what buyers respond to
    slopes : (N, C) true b_ic (dollars of the first exposure; log points per sd in the log1p world)
    log_means : (N, T) mean of log1p GMV in the log1p world, else None
    gmv_means : (N, T) expected gross dollars, given exposures, of a consumer who is present; None in the log1p world
    """

    config: ConsumerWorldConfig
    tables: dict[str, pd.DataFrame]
    consumer_ids: np.ndarray
    period_starts: np.ndarray
    period_end: np.datetime64
    consumers: pd.DataFrame
    exposures: np.ndarray
    adstock: np.ndarray
    slopes: np.ndarray
    log_means: np.ndarray | None
    gmv_means: np.ndarray | None

    @cached_property
    def mart_frames(self) -> dict[str, pd.DataFrame]:
        """The mart frames that `ConsumerPanel.from_frames` takes, by the rules of the dbt project."""
        return build_mart_frames(
            self.tables, self.period_starts, self.period_end, self.config.pre_periods_count
        )

    def to_panel(self) -> ConsumerPanel:
        """The panel an analyst would have, without a warehouse."""
        return ConsumerPanel.from_frames(**self.mart_frames, currency_code="USD", period=self.config.period)

    @cached_property
    def truth(self) -> dict[str, pd.DataFrame]:
        """True immediate effects over the very rows of the panel: frames `channel`, `market`, `segment`, `consumer`."""
        return build_truth(self)

    @cached_property
    def total_truth(self) -> dict[str, pd.DataFrame]:
        """`truth` with horizon total: over the own and all later panel periods. Money world only."""
        return build_truth(self, horizon="total")


def simulate_consumers(config: ConsumerWorldConfig, rng: np.random.Generator) -> ConsumerWorld:
    """Draw one world. The same config and generator state give the same world.

    Examples
    --------
    >>> world = simulate_consumers(ConsumerWorldConfig(consumers_count=60), np.random.default_rng(1))
    >>> world.tables["transactions"].columns[:4].tolist()
    ['transaction_id', 'consumer_id', 'market_id', 'occurred_at']
    >>> float(world.truth["channel"].query("channel_id == 'retargeting'")["value"].abs().max())
    0.0
    """
    channels, periods = config.all_channels, config.periods_count
    starts, end = period_grid(config)
    people = _draw_people(config, starts, end, rng)
    covariates = _draw_covariates(config, starts, rng)
    log_rates, within_variance = _exposure_rates(config, channels, people, covariates, rng)
    slopes = _draw_slopes(config, channels, people, rng)
    demand = _log_demand(people, covariates)

    count = config.consumers_count
    exposures = np.zeros((count, periods, len(channels)), dtype=np.int32)
    adstock, carried = np.zeros(exposures.shape), np.zeros((count, len(channels)))
    gmv_means, log_means = np.zeros((count, periods)), np.zeros((count, periods))
    purchases = np.zeros((count, periods), dtype=np.int64)
    shocks = _demand_shocks(config, rng)
    targeting = np.sqrt([c.targeting_share for c in channels])
    bought_before = np.full(count, 0.55)
    base = _base_mean(config, channels)
    exposures_mean, exposures_sd = config.exposure_moments
    for t in range(periods):
        tilt = config.feedback * (bought_before - 0.55) + shocks[:, t]
        rates = np.exp(log_rates[:, t, :] + tilt[:, None] * targeting)
        rates *= _unit_gamma(rng, within_variance, count)
        counts = rng.poisson(rates) * people["present"][:, t, None]
        exposures[:, t, :] = counts
        carried = counts + config.decays * carried
        adstock[:, t, :] = carried
        if config.outcome == "money":
            responses = (slopes * response(carried, config.bends)).sum(axis=1)
            gmv_means[:, t] = base * np.exp(demand[:, t] + shocks[:, t]) + responses
            purchases[:, t] = rng.poisson(gmv_means[:, t] / PURCHASE_MEAN) * people["present"][:, t]
        else:
            log_means[:, t] = _log_intercepts(people) + demand_shift(covariates, people, t) + shocks[:, t]
            log_means[:, t] += (slopes * (counts - exposures_mean) / exposures_sd).sum(axis=1)
            purchases[:, t] = people["present"][:, t]
        bought_before = (purchases[:, t] > 0).astype(float)
    amounts = _amounts(config, purchases, log_means, rng)
    tables = build_tables(config, people, covariates, exposures, purchases, amounts, starts, end, rng)
    return ConsumerWorld(
        config=config,
        tables=tables,
        consumer_ids=people["consumer_id"],
        period_starts=starts,
        period_end=end,
        consumers=people["frame"],
        exposures=exposures,
        adstock=adstock,
        slopes=slopes,
        log_means=log_means if config.outcome == "log1p" else None,
        gmv_means=gmv_means if config.outcome == "money" else None,
    )


def period_grid(config: ConsumerWorldConfig) -> tuple[np.ndarray, np.datetime64]:
    """First days of all periods, and the first day after the last."""
    start = np.datetime64(config.start_date, "D")
    if config.period == "month":
        edges = (start.astype("datetime64[M]") + np.arange(config.periods_count + 1)).astype("datetime64[D]")
    else:
        edges = start + 7 * np.arange(config.periods_count + 1)
    return edges[:-1], edges[-1]


# ----------------------------------------------------------------------------------- draws
def _scaled_beta(
    rng: np.random.Generator, bounds: tuple[float, float], mean: float, sd: float, size: int
) -> np.ndarray:
    """Values in `bounds` with exactly this mean and standard deviation."""
    low, width = bounds[0], bounds[1] - bounds[0]
    unit = (mean - low) / width
    total = unit * (1 - unit) / (sd / width) ** 2 - 1
    return low + width * rng.beta(unit * total, (1 - unit) * total, size)


def _draw_people(
    config: ConsumerWorldConfig, starts: np.ndarray, end: np.datetime64, rng: np.random.Generator
) -> dict[str, object]:
    count, periods = config.consumers_count, config.periods_count
    width = len(str(count))
    ids = np.array([f"c{i:0{width}d}" for i in range(1, count + 1)], dtype=object)
    market_ids = np.array([f"m{j:02d}" for j in range(1, config.markets_count + 1)], dtype=object)
    market = rng.choice(config.markets_count, count, p=rng.dirichlet(np.full(config.markets_count, 8.0)))
    age = np.floor(_scaled_beta(rng, AGE_RANGE, AGE_MEAN + 0.5, AGE_SD, count)).clip(18, 80)
    income = _scaled_beta(rng, INCOME_RANGE, INCOME_MEAN, INCOME_SD, count).round(2)
    plan = rng.choice(list(PLAN_LOADINGS), count, p=PLAN_SHARES).astype(object)
    source = rng.choice(ACQUISITION_SOURCES, count, p=ACQUISITION_SHARES).astype(object)
    propensity = rng.standard_normal(count)

    joins = rng.random(count) < config.joiners_share
    first = np.where(joins, rng.integers(1, periods - 2, count), -1)
    leaves = rng.random(count) < config.leavers_share
    last = np.where(leaves, rng.integers(np.maximum(first + 2, 1), periods), periods)  # first period away
    unknown = rng.random(count) < config.leavers_unknown_share
    now = np.arange(periods)[None, :]
    edges = np.append(starts, end)
    inside = rng.random(count) * 0.8 + 0.1  # how far into its first period a joiner appears
    begin = np.where(joins, edges[first], starts[0])
    length = np.where(joins, (edges[first + 1] - edges[first]).astype(int), 1)
    first_seen = begin.astype("datetime64[s]") + (inside * length * 86_400).astype("timedelta64[s]")
    founded = starts[0].astype("datetime64[s]") - (inside * 3e7).astype("timedelta64[s]")
    first_seen = np.where(joins, first_seen, founded)
    active_until = np.where(leaves & ~unknown, edges[last.clip(max=periods)] - 1, np.datetime64("NaT"))

    z_age, z_income = (age - AGE_MEAN) / AGE_SD, (income - INCOME_MEAN) / INCOME_SD
    base = PROPENSITY_LOADING * propensity + OWN_SD * rng.standard_normal(count)
    base += INCOME_LOADING * z_income + AGE_LOADING * z_age
    base += (
        np.array([PLAN_LOADINGS[p] for p in plan]) + MARKET_SD * rng.standard_normal(len(market_ids))[market]
    )
    frame = pd.DataFrame(
        {
            "consumer_id": ids,
            "market_id": market_ids[market],
            "first_seen_at": first_seen,
            "active_until": active_until.astype("datetime64[s]"),
            "age": age,
            "income": income,
            "plan": plan,
            "acquisition_source": source,
            "propensity": propensity,
            "first_period": first,
            "first_period_away": last,
        }
    )
    return {
        "consumer_id": ids,
        "market_ids": market_ids,
        "market": market,
        "z_age": z_age,
        "z_income": z_income,
        "propensity": propensity,
        "log_base": base,
        "present": (now >= first[:, None]) & (now < last[:, None]),
        "frame": frame,
    }


def _draw_covariates(
    config: ConsumerWorldConfig, starts: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """price_index (J, T), holiday share (T,): both move demand; holidays raise exposures too."""
    steps = rng.standard_normal((config.markets_count, config.periods_count)) * 0.02
    price = np.ones_like(steps)
    for t in range(1, config.periods_count):
        price[:, t] = 1 + 0.7 * (price[:, t - 1] - 1) + steps[:, t]
    month = starts.astype("datetime64[M]").astype(int) % 12 + 1
    holiday = np.select([month == 12, month == 11], [1.0, 0.5], 0.0)
    flights = rng.standard_normal((config.markets_count, config.periods_count, len(config.all_channels)))
    return {"price": price.round(4), "holiday": holiday, "flights": FLIGHT_SD * flights}


def _exposure_rates(
    config: ConsumerWorldConfig,
    channels: tuple[ChannelSpec, ...],
    people: dict[str, object],
    covariates: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Log exposure rates (N, T, C) before period noise, and the variance of the (unit-mean) period noise (C,)."""
    count = config.consumers_count
    months = MONTHS_PER_PERIOD[config.period]
    targeted_on = {"age_55_plus": people["z_age"], "age_18_34": -people["z_age"]}
    log_rates = np.zeros((count, config.periods_count, len(channels)))
    within = np.zeros(len(channels))
    for c, channel in enumerate(channels):
        budget = channel.log_variance
        shares = np.array([channel.targeting_share * config.confounding**2, CHARACTERISTIC_SHARE, OWN_SHARE])
        sds = np.sqrt(shares * budget)
        characteristic = targeted_on.get(channel.segment, people["z_income"])
        own = sds[0] * people["propensity"] + sds[1] * characteristic + sds[2] * rng.standard_normal(count)
        own += np.log(channel.exposures_mean * months) - 0.5 * (sds**2).sum() - 0.5 * FLIGHT_SD**2
        when = covariates["flights"][people["market"], :, c] + 0.15 * (
            covariates["holiday"] - covariates["holiday"].mean()
        )
        log_rates[:, :, c] = own[:, None] + when
        within[c] = np.expm1(max(budget * (1 - shares.sum()) - FLIGHT_SD**2, 0.0))
    return log_rates, within


def _unit_gamma(rng: np.random.Generator, variances: np.ndarray, count: int) -> np.ndarray:
    """(count, C) multipliers with mean 1 and these variances."""
    shapes = 1 / np.maximum(variances, 1e-9)
    return rng.gamma(shapes, 1 / shapes, (count, len(variances)))


def _draw_slopes(
    config: ConsumerWorldConfig,
    channels: tuple[ChannelSpec, ...],
    people: dict[str, object],
    rng: np.random.Generator,
) -> np.ndarray:
    """True slopes (N, C): Table 6's mean and spread, over markets, segments and chance (Gamma, so never negative)."""
    frame = people["frame"]
    members = {
        "age_55_plus": frame["age"].to_numpy() >= 55,
        "age_18_34": frame["age"].to_numpy() < 35,
        "income_high": frame["income"].to_numpy() >= HIGH_INCOME,
    }
    slopes = np.zeros((config.consumers_count, len(channels)))
    for c, channel in enumerate(channels):
        market = np.exp(
            SLOPE_MARKET_SD * rng.standard_normal(config.markets_count) - 0.5 * SLOPE_MARKET_SD**2
        )
        segment = np.where(
            members.get(channel.segment, np.zeros(config.consumers_count, bool)), SEGMENT_FACTOR, 1.0
        )
        shared = market[people["market"]] * segment / segment.mean()
        mean = channel.money_slope_mean if config.outcome == "money" else channel.slope_mean
        if mean == 0:
            rng.standard_normal(config.consumers_count)
            continue
        spread = (channel.slope_sd / channel.slope_mean) ** 2
        known = (1 + np.expm1(SLOPE_MARKET_SD**2)) * (1 + np.var(segment / segment.mean()))
        own = max((1 + spread) / known - 1, 0.0)
        slopes[:, c] = mean * shared * _unit_gamma(rng, np.array([own]), config.consumers_count)[:, 0]
    return slopes


def _base_mean(config: ConsumerWorldConfig, channels: tuple[ChannelSpec, ...]) -> float:
    """Mean GMV without exposures, so that the mean with them is near Table 5's (the 0.8 allows for the bend)."""
    bend = 1.0 if config.saturation_scale is None else 0.8
    expected = sum(c.money_slope_mean * c.exposures_mean * bend / (1 - c.carryover) for c in channels)
    if expected >= GMV_MEAN:
        raise ValueError(
            f"The channels' slopes add up to {expected:.0f} dollars a month, above the mean of {GMV_MEAN}. "
            "Lower slope_mean or carryover of some channel."
        )
    share_kept = 1 - config.returns_share
    return (GMV_MEAN / share_kept - expected) * MONTHS_PER_PERIOD[config.period]


def demand_shift(covariates: dict[str, np.ndarray], people: dict[str, object], t: int) -> np.ndarray:
    """Log points of demand in period t from price and holidays, (N,)."""
    season = HOLIDAY_LIFT * (covariates["holiday"][t] - covariates["holiday"].mean())
    return PRICE_ELASTICITY * (covariates["price"][people["market"], t] - 1) + season


def _log_demand(people: dict[str, object], covariates: dict[str, np.ndarray]) -> np.ndarray:
    """Log of base GMV over its mean, (N, T)."""
    base = people["log_base"]
    periods = len(covariates["holiday"])
    shift = np.column_stack([demand_shift(covariates, people, t) for t in range(periods)])
    return base[:, None] - np.log(np.exp(base).mean()) + shift


def _log_intercepts(people: dict[str, object]) -> np.ndarray:
    """alpha_i of the log1p world: Table 6's mean and spread, following the same latent base."""
    base = people["log_base"]
    return LOG_INTERCEPT_MEAN + LOG_INTERCEPT_SD * (base - base.mean()) / base.std()


def _demand_shocks(config: ConsumerWorldConfig, rng: np.random.Generator) -> np.ndarray:
    """Autocorrelated demand shocks (N, T) that also tilt exposures; zero unless time-varying confounding is on."""
    draws = rng.standard_normal((config.consumers_count, config.periods_count))
    shocks = draws.copy()
    keep = np.sqrt(1 - SHOCK_AUTOCORRELATION**2)
    for t in range(1, config.periods_count):
        shocks[:, t] = SHOCK_AUTOCORRELATION * shocks[:, t - 1] + keep * draws[:, t]
    return config.time_varying_confounding * shocks


def _amounts(
    config: ConsumerWorldConfig, purchases: np.ndarray, log_means: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Dollars of every purchase, in (consumer, period) order."""
    if config.outcome == "money":
        return rng.gamma(PURCHASE_SHAPE, PURCHASE_MEAN / PURCHASE_SHAPE, int(purchases.sum()))
    log_amounts = log_means + config.log_noise_sd * rng.standard_normal(log_means.shape)
    return np.expm1(log_amounts[purchases > 0]).clip(min=0.0)
