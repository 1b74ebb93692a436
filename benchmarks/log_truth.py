"""True effects in log points: of a log1p world, and of a world in dollars where no model of log points is right.

A log point is one of f(y) = sign(y) log(1 + |y|), y the net GMV of a consumer's period. In a log1p world effects on it
add up and are given. In a world in dollars a period's purchases are a Poisson number with Gamma amounts, of which some
come back later, so that with l and b the expected numbers of purchases that stay and that come back in the period

    E f = sum_n Poisson(n; l) E f(G_n - B),    G_n the sum of n amounts, B none with probability exp(-b), else one

by quadrature; two or more coming back in one period are counted as one. An effect is the difference of E f with l
changed by the exposure. Rows and estimands are those of models/simulate/consumer_truth.py, immediate.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from models.simulate.consumer_config import response
from models.simulate.consumer_tables import RETURN_DELAY_DAYS
from models.simulate.consumer_truth import panel_rows
from models.simulate.consumers import PURCHASE_MEAN, PURCHASE_SHAPE

KEYS = ["channel_id", "estimand", "exposure_distribution"]
MONTH_DAYS = 365.25 / 12
PURCHASES_MOST, POINTS, RATES_MOST, RATES_COUNT = 120, 400, 60.0, 3_000


def log_truth(world: Any) -> pd.DataFrame:
    """KEYS and `truth` in log points: slopes, over panel rows and by exposures, and att_exposed."""
    who, when = panel_rows(world)
    counts = world.exposures[who, when].astype(float)
    if world.config.outcome == "log1p":
        added = world.slopes[who] / world.config.exposure_moments[1]
        removed = added * counts
    else:
        added, removed = _effects_in_money_world(world, who, when, counts)
    rows = []
    for c, channel in enumerate(world.config.channel_ids):
        x = counts[:, c]
        rows += [
            (channel, "slope", "panel_rows", added[:, c].mean()),
            (channel, "slope", "exposure_weighted", (added[:, c] * x).sum() / x.sum()),
            (channel, "att_exposed", "exposed_rows", removed[:, c].sum() / (x > 0).sum()),
        ]
    return pd.DataFrame(rows, columns=[*KEYS, "truth"])


def expected_log_outcome(purchases: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """E f for expected numbers of purchases that stay and that come back, of one shape."""
    none, one = _tables()
    grid = _rates()
    if purchases.max(initial=0.0) > RATES_MOST:
        raise ValueError(
            f"{purchases.max():.1f} purchases are expected in a period; the table ends at {RATES_MOST}."
        )
    kept = np.exp(-returns)
    return kept * np.interp(purchases, grid, none) + (1 - kept) * np.interp(purchases, grid, one)


def return_shares(months: int) -> np.ndarray:
    """(months,) share of returned purchases that come back 0, 1, ... months later: exponential delays, even within."""
    edges = np.arange(months + 1) * MONTH_DAYS / RETURN_DELAY_DAYS
    length = MONTH_DAYS / RETURN_DELAY_DAYS
    # P(delay + moment in the month <= edge), the moment uniform over the first month
    below = np.array([1.0 - (np.exp(-(e - length)) - np.exp(-e)) / length if e > 0 else 0.0 for e in edges])
    return np.diff(below)


def _effects_in_money_world(
    world: Any, who: np.ndarray, when: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of one more exposure, and of the row's exposures, (rows, C)."""
    config, periods = world.config, world.exposures.shape[1]
    shares = config.returns_share * return_shares(periods)
    frame = world.consumers
    now = np.arange(periods)[None]
    present = (now >= frame["first_period"].to_numpy()[:, None]) & (
        now < frame["first_period_away"].to_numpy()[:, None]
    )
    bought = world.gmv_means * present / PURCHASE_MEAN
    back = np.zeros_like(bought)
    for lag in range(1, periods):
        back[:, lag:] += shares[lag] * bought[:, : periods - lag]
    stays = (1.0 - shares[0]) / PURCHASE_MEAN
    mean, returns = world.gmv_means[who, when][:, None], back[who, when][:, None]
    carried, slopes = world.adstock[who, when], world.slopes[who]
    at = response(carried, config.bends)

    def outcome(response_then: np.ndarray) -> np.ndarray:
        moved = mean + slopes * (response_then - at)
        return expected_log_outcome(stays * moved, np.broadcast_to(returns, moved.shape))

    base = outcome(at)
    return outcome(response(carried + 1.0, config.bends)) - base, base - outcome(
        response(carried - counts, config.bends)
    )


@cache
def _rates() -> np.ndarray:
    return np.linspace(0.0, RATES_MOST**0.5, RATES_COUNT) ** 2


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """E f by rate (RATES_COUNT,), with nothing and with one purchase coming back."""
    middle = (np.arange(POINTS) + 0.5) / POINTS
    scale = PURCHASE_MEAN / PURCHASE_SHAPE
    amount = stats.gamma.ppf(middle, PURCHASE_SHAPE, scale=scale)
    numbers = np.arange(PURCHASES_MOST + 1)
    sums = np.zeros((len(numbers), POINTS))
    sums[1:] = stats.gamma.ppf(middle[None], PURCHASE_SHAPE * numbers[1:, None], scale=scale)
    less = sums[:, :, None] - amount[None, None, ::4]
    means = (np.log1p(sums).mean(axis=1), (np.sign(less) * np.log1p(np.abs(less))).mean(axis=(1, 2)))
    weights = stats.poisson.pmf(numbers[None], _rates()[:, None])
    return weights @ means[0], weights @ means[1]
