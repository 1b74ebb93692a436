"""Contract-shaped event tables of a simulated world (design section 2)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.simulate.consumer_config import ConsumerWorldConfig

SECONDS_A_DAY = 86_400
RETURN_DELAY_DAYS = 5.0  # mean of an exponential
CURRENCY = "USD"


def build_tables(
    config: ConsumerWorldConfig,
    people: dict[str, object],
    covariates: dict[str, np.ndarray],
    exposures: np.ndarray,
    purchases: np.ndarray,
    amounts: np.ndarray,
    starts: np.ndarray,
    end: np.datetime64,
    rng: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """Tables transactions, exposures, consumers, market_covariates and marketing_activities.

    Parameters
    ----------
    exposures : (N, T, C) counts; purchases : (N, T) counts; amounts : dollars of every purchase in (N, T) order
    starts, end : first days of the periods, first day after the last
    """
    edges = np.append(starts, end).astype("datetime64[s]")
    return {
        "transactions": _transactions(config, people, purchases, amounts, edges, rng),
        "exposures": _exposures(config, people, exposures, edges, rng),
        "consumers": _consumers(config, people, rng),
        "market_covariates": _market_covariates(people, covariates, starts),
        "marketing_activities": _marketing_activities(config, people, exposures, starts),
    }


def _moments(
    people: dict[str, object], who: np.ndarray, when: np.ndarray, edges: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Uniform moments in the period, after first_seen_at in a consumer's first period; (events,) to the second."""
    first_seen = people["frame"]["first_seen_at"].to_numpy().astype("datetime64[s]")[who]
    begin = np.maximum(edges[when], first_seen + np.timedelta64(1, "s"))
    width = (edges[when + 1] - begin).astype(np.int64) - 1
    return begin + (rng.random(len(who)) * width).astype(np.int64).astype("timedelta64[s]")


def _transactions(
    config: ConsumerWorldConfig,
    people: dict[str, object],
    purchases: np.ndarray,
    amounts: np.ndarray,
    edges: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    periods = purchases.shape[1]
    cell = np.repeat(np.arange(purchases.size), purchases.ravel())
    who, when = np.divmod(cell, periods)
    occurred = _moments(people, who, when, edges, rng)
    amount = np.round(amounts, 2)
    units = 1 + rng.poisson(0.8, len(who))
    discount = np.where(rng.random(len(who)) < 0.3, np.round(0.1 * amount, 2), 0.0)
    numbers = np.arange(1, len(who) + 1)

    returns_share = config.returns_share if config.outcome == "money" else 0.0
    delay = (rng.exponential(RETURN_DELAY_DAYS, len(who)) * SECONDS_A_DAY).astype("timedelta64[s]")
    back = (rng.random(len(who)) < returns_share) & (occurred + delay < edges[-1])
    market = people["frame"]["market_id"].to_numpy(dtype=object)
    ids = people["consumer_id"]
    frame = pd.DataFrame(
        {
            "transaction_id": _labels(
                "t", np.concatenate([numbers, numbers[back]]), np.arange(back.sum()), len(who)
            ),
            "consumer_id": ids[np.concatenate([who, who[back]])],
            "market_id": market[np.concatenate([who, who[back]])],
            "occurred_at": np.concatenate([occurred, occurred[back] + delay[back]]),
            "gmv_amount": np.concatenate([amount, -amount[back]]),
            "currency_code": CURRENCY,
            "is_return": np.concatenate([np.zeros(len(who), bool), np.ones(int(back.sum()), bool)]),
            "units_count": np.concatenate([units, units[back]]),
            "discount_amount": np.concatenate([discount, np.zeros(int(back.sum()))]),
        }
    )
    return frame


def _labels(prefix: str, numbers: np.ndarray, returned: np.ndarray, first: int) -> np.ndarray:
    width = len(str(first + 1))
    labels = np.char.add(prefix, np.char.zfill(numbers.astype(str), width)).astype(object)
    if len(returned):
        labels[first:] = labels[first:] + "-r"
    return labels


def _exposures(
    config: ConsumerWorldConfig,
    people: dict[str, object],
    exposures: np.ndarray,
    edges: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    who, when, channel = np.nonzero(exposures)
    names = np.array(config.channel_ids, dtype=object)
    months = edges[:-1].astype("datetime64[D]").astype(str)
    campaigns = np.array([[f"{name} {month}" for name in names] for month in months], dtype=object)
    return pd.DataFrame(
        {
            "consumer_id": people["consumer_id"][who],
            "channel_id": names[channel],
            "occurred_at": _moments(people, who, when, edges, rng),
            "exposures_count": exposures[who, when, channel].astype(np.int64),
            "campaign_id": campaigns[when, channel],
        }
    )


def _consumers(
    config: ConsumerWorldConfig, people: dict[str, object], rng: np.random.Generator
) -> pd.DataFrame:
    """What is known of each consumer; income is missing more often on the basic plan (missing at random)."""
    known = ["consumer_id", "market_id", "first_seen_at", "active_until", "age", "income", "plan"]
    frame = people["frame"][[*known, "acquisition_source"]].copy()
    chance = {
        name: np.full(len(frame), config.missing_share)
        for name in ("age", "income", "plan", "acquisition_source")
    }
    is_basic = frame["plan"].to_numpy() == "basic"
    chance["income"] = config.missing_share * np.where(is_basic, 1.4, 0.6)
    for name, probability in chance.items():
        missing = rng.random(len(frame)) < probability
        frame[name] = frame[name].where(~missing, np.nan if name in ("age", "income") else None)
    return frame


def _market_covariates(
    people: dict[str, object], covariates: dict[str, np.ndarray], starts: np.ndarray
) -> pd.DataFrame:
    markets, periods = covariates["price"].shape
    return pd.DataFrame(
        {
            "market_id": np.repeat(people["market_ids"], periods),
            "period_start_date": np.tile(starts.astype("datetime64[s]"), markets),
            "price_index": covariates["price"].ravel(),
            "holiday": np.tile(covariates["holiday"], markets),
        }
    )


def _marketing_activities(
    config: ConsumerWorldConfig, people: dict[str, object], exposures: np.ndarray, starts: np.ndarray
) -> pd.DataFrame:
    """Impressions and spend by market, channel and period; spend is unknown where a channel has no cost."""
    markets, periods, channels = len(people["market_ids"]), len(starts), len(config.all_channels)
    intensity = np.zeros((markets, channels, periods))
    np.add.at(intensity, people["market"], exposures.transpose(0, 2, 1))
    cost = np.array(
        [np.nan if c.cost_per_exposure is None else c.cost_per_exposure for c in config.all_channels]
    )
    spend = intensity * cost[None, :, None]
    return pd.DataFrame(
        {
            "market_id": np.repeat(people["market_ids"], channels * periods),
            "channel_id": np.tile(np.repeat(np.array(config.channel_ids, dtype=object), periods), markets),
            "period_start_date": np.tile(starts.astype("datetime64[s]"), markets * channels),
            "spend_amount": spend.ravel().round(2),
            "intensity": intensity.ravel(),
            "currency_code": CURRENCY,
        }
    )
