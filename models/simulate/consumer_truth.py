"""Exact effects of a simulated world over the rows an analyst's panel has.

Estimands (glossary), per panel row, with own means and characteristics held as they are:

    slope         E[Y(x + 1)] - E[Y(x)]            mean over rows, or weighted by exposures x
    att_exposed   E[Y(x)] - E[Y(0)] given x > 0    mean over exposed rows
    contribution  E[Y(x)] - E[Y(0)]                sum over rows

Horizon immediate: a row's exposures are changed and the same row's Y compared, earlier exposures being as they were.
Horizon total (money world): Y is summed over the row and all later panel rows of the consumer; slope and att_exposed
change the exposures of one row at a time, contribution those of all its panel rows at once (what was seen before the
panel stays). Without carry-over the two horizons are equal.

Expectations are closed forms, not simulated outcomes. Dollars of net GMV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtr

from models.simulate.consumer_config import HIGH_INCOME, response

if TYPE_CHECKING:
    from models.simulate.consumers import ConsumerWorld


def build_truth(world: ConsumerWorld, horizon: str = "immediate") -> dict[str, pd.DataFrame]:
    """Frames `channel`, `market`, `segment`, `consumer`: keys, estimand, exposure_distribution, horizon, unit, value.

    Raises ValueError for horizon total in a log1p world, which has no carry-over.
    """
    config = world.config
    who, when = panel_rows(world)
    exposures = world.exposures[who, when, :].astype(float)  # (rows, C)
    if horizon == "total":
        effects = total_row_effects(world, who, when)
    else:
        added, removed = row_effects(world, who, when)
        effects = (added, removed, removed)
    frame = world.consumers
    segments = {
        "age_band": np.select([frame["age"] < 35, frame["age"] < 55], ["18-34", "35-54"], "55+").astype(
            object
        ),
        "income_band": np.where(frame["income"] >= HIGH_INCOME, "high", "other").astype(object),
        "plan": frame["plan"].to_numpy(dtype=object),
    }
    everyone = np.zeros(len(who), dtype=np.int64)
    names = config.channel_ids
    channel = _effects(everyone, ("all",), "group", names, exposures, effects).drop(columns="group")
    if config.outcome == "log1p":
        channel = pd.concat([channel, _log_slopes(world, who)], ignore_index=True)
    market, market_ids = pd.factorize(frame["market_id"].to_numpy(dtype=object), sort=True)
    parts = []
    for name, values in segments.items():
        code, labels = pd.factorize(values, sort=True)
        part = _effects(code[who], labels, "segment_value", names, exposures, effects)
        parts.append(part.assign(segment_name=name))
    frames = {
        "channel": channel,
        "market": _effects(market[who], market_ids, "market_id", names, exposures, effects),
        "segment": pd.concat(parts, ignore_index=True),
        "consumer": _effects(who, world.consumer_ids, "consumer_id", names, exposures, effects),
    }
    return {name: frame.assign(horizon=horizon) for name, frame in frames.items()}


def panel_rows(world: ConsumerWorld) -> tuple[np.ndarray, np.ndarray]:
    """Consumer and period positions of the panel's rows, in (consumer, period) order."""
    rows = world.mart_frames["consumer_periods"].query("is_in_panel")
    who = pd.Index(world.consumer_ids).get_indexer(rows["consumer_id"])
    return who, rows["period_index"].to_numpy()


def row_effects(world: ConsumerWorld, who: np.ndarray, when: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected net dollars of one more exposure, and of all exposures, per row and channel: two (rows, C)."""
    config = world.config
    counts = world.exposures[who, when, :].astype(float)
    slopes = world.slopes[who]
    if config.outcome == "money":
        carried = world.adstock[who, when, :]
        now = response(carried, config.bends)
        kept = 1 - config.returns_share
        added = response(carried + 1, config.bends) - now
        return kept * slopes * added, kept * slopes * (now - response(carried - counts, config.bends))
    per_exposure = slopes / config.exposure_moments[1]
    mean = world.log_means[who, when][:, None]
    now = _log_world_mean(mean, config.log_noise_sd)
    added = _log_world_mean(mean + per_exposure, config.log_noise_sd) - now
    return added, now - _log_world_mean(mean - per_exposure * counts, config.log_noise_sd)


def total_row_effects(
    world: ConsumerWorld, who: np.ndarray, when: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected net dollars over this and all later panel rows, three (rows, C):

    of one more exposure in the row, of the row's exposures, and (in the row) of all panel exposures until then.
    """
    config = world.config
    if config.outcome != "money":
        raise ValueError("a log1p world has no carry-over; only its immediate effects are defined.")
    bends, decays = config.bends, config.decays
    in_panel = np.zeros(world.adstock.shape[:2], dtype=bool)
    in_panel[who, when] = True
    counts = world.exposures * in_panel[:, :, None].astype(float)
    now = response(world.adstock, bends)
    periods = in_panel.shape[1]
    added, removed = np.zeros(world.adstock.shape), np.zeros(world.adstock.shape)
    before = world.adstock.copy()  # adstock without the panel's exposures
    for lag in range(periods):
        early, late = slice(0, periods - lag), slice(lag, periods)
        left, seen = decays**lag, in_panel[:, late, None]
        later = world.adstock[:, late]
        added[:, early] += seen * (response(later + left, bends) - now[:, late])
        gone = np.maximum(later - left * counts[:, early], 0.0)
        removed[:, early] += seen * (now[:, late] - response(gone, bends))
        before[:, late] -= left * counts[:, early]
    contributed = now - response(np.maximum(before, 0.0), bends)
    scale = (1 - config.returns_share) * world.slopes[who]
    return scale * added[who, when], scale * removed[who, when], scale * contributed[who, when]


def _log_world_mean(mean: np.ndarray, sd: float) -> np.ndarray:
    """E[max(exp(V) - 1, 0)] for V ~ N(mean, sd^2), in closed form."""
    return np.exp(mean + sd**2 / 2) * ndtr((mean + sd**2) / sd) - ndtr(mean / sd)


def _log_slopes(world: ConsumerWorld, who: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "channel_id": world.config.channel_ids,
            "estimand": "slope",
            "exposure_distribution": "panel_rows",
            "unit": "log1p(GMV) per standard deviation of exposures",
            "value": world.slopes[who].mean(axis=0),
        }
    )


def _effects(
    group: np.ndarray,
    labels: np.ndarray | tuple[str, ...],
    key: str,
    channel_ids: tuple[str, ...],
    exposures: np.ndarray,
    effects: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> pd.DataFrame:
    """Group means (contribution: sums) of the row effects; NaN where no (exposed) row defines a value.

    effects: of one more exposure, of the row's exposures, and what is summed up as contribution, each (rows, C).
    """
    size = len(labels)
    added, removed, contributed = effects

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        columns = range(values.shape[1])
        top = np.column_stack([np.bincount(group, values[:, c] * weights[:, c], size) for c in columns])
        bottom = np.column_stack([np.bincount(group, weights[:, c], size) for c in columns])
        return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)

    ones, exposed = np.ones_like(exposures), (exposures > 0).astype(float)
    kinds = [
        ("slope", "panel_rows", "USD per exposure", mean(added, ones)),
        ("slope", "exposure_weighted", "USD per exposure", mean(added, exposures)),
        ("att_exposed", "exposed_rows", "USD per exposed consumer-period", mean(removed, exposed)),
        (
            "contribution",
            "panel_rows",
            "USD",
            mean(contributed, ones) * np.bincount(group, minlength=size)[:, None],
        ),
    ]
    parts = [
        pd.DataFrame(
            {
                key: np.repeat(np.asarray(labels, dtype=object), len(channel_ids)),
                "channel_id": np.tile(np.array(channel_ids, dtype=object), size),
                "estimand": estimand,
                "exposure_distribution": distribution,
                "unit": unit,
                "value": values.ravel(),
            }
        )
        for estimand, distribution, unit, values in kinds
    ]
    return pd.concat(parts, ignore_index=True)
