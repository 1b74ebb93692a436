"""Worlds in which the two-part model is right, with effects known exactly: a consumer first buys or not, then so much.

    logit p_it = alpha_i + season_t + sum_c (b_c + B_ic) g(x_itc)        g(x) = log1p(x)
    mu_it      = mean_i + sum_c (a_c + A_ic) g(x_itc)                     dollars, given a purchase
    y_it       = (Bernoulli p_it) (Gamma with mean mu_it and shape 4)

alpha_i and mean_i follow a wish to buy nobody records, which drives exposures as well; the channel `retargeting` has no
effect and follows it most. Amounts are skewed, not normal: what is right is the mean of both parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from models.panel import ConsumerPanel
from models.simulate.study_worlds import SEED

CHANNEL_IDS = ("email", "retargeting", "tv")
NULL_CHANNEL = "retargeting"
LOG_ODDS, LOG_ODDS_SD = np.array([0.45, 0.0, 0.30]), np.array([0.15, 0.0, 0.10])  # of one log1p(x)
DOLLARS, DOLLARS_SD = np.array([8.0, 0.0, 4.0]), np.array([3.0, 0.0, 2.0])
LOG_RATES, TARGETING = np.array([0.3, 0.5, 1.2]), np.array([0.5, 0.9, 0.3])
LEVEL_MEAN, LEVEL_SD, LEVEL_WISH = -1.3, 0.7, 0.8  # log odds
AMOUNT_MEAN, AMOUNT_SD, AMOUNT_WISH = 60.0, 10.0, 12.0  # dollars
SEASON_SIZE, GAMMA_SHAPE = 0.3, 4.0


def hurdle_seeds(count: int) -> tuple[int, ...]:
    """The first `count` seeds of the study's hurdle worlds (number 23 beside study_worlds' kinds)."""
    return tuple(int(s) for s in np.random.SeedSequence([SEED, 23]).generate_state(count))


@dataclass(frozen=True, slots=True)
class HurdleWorldConfig:
    """consumers_count, markets_count, periods_count: sizes of a world; checked here."""

    consumers_count: int = 1_500
    markets_count: int = 5
    periods_count: int = 18

    def __post_init__(self) -> None:
        if min(self.consumers_count, self.periods_count) < 2 or self.markets_count < 1:
            raise ValueError(
                f"{self.consumers_count} consumers, {self.periods_count} periods, {self.markets_count} markets: give "
                "2 or more consumers and periods, and a market."
            )


def simulate_hurdle_world(
    config: HurdleWorldConfig, rng: np.random.Generator
) -> tuple[ConsumerPanel, pd.DataFrame]:
    """A panel, and its truth: channel_id, estimand, exposure_distribution, value (dollars, over the panel's rows)."""
    n, periods, channels = config.consumers_count, config.periods_count, len(CHANNEL_IDS)
    wish, age = rng.normal(size=n), rng.normal(size=n)
    market = rng.integers(config.markets_count, size=n)
    alpha = LEVEL_MEAN + LEVEL_WISH * wish + 0.2 * age + rng.normal(0, LEVEL_SD, n)
    alpha += rng.normal(0, 0.2, config.markets_count)[market]
    mean = AMOUNT_MEAN + AMOUNT_WISH * wish + rng.normal(0, AMOUNT_SD, n)
    log_odds = LOG_ODDS + LOG_ODDS_SD * rng.normal(size=(n, channels))
    dollars = DOLLARS + DOLLARS_SD * rng.normal(size=(n, channels))
    rates = np.exp(
        LOG_RATES + TARGETING * wish[:, None, None] + 0.6 * rng.normal(size=(n, periods, channels))
    )
    x = rng.poisson(rates).astype(float)
    odds = (alpha[:, None] + SEASON_SIZE * np.sin(np.arange(periods)))[:, :, None] + np.zeros(channels)
    size = np.maximum(mean, 5.0)[:, None, None] + np.zeros((1, periods, channels))
    odds = odds + (log_odds[:, None] * np.log1p(x)).sum(axis=2, keepdims=True)
    size = size + (dollars[:, None] * np.log1p(x)).sum(axis=2, keepdims=True)

    def expected(other: np.ndarray) -> np.ndarray:
        """p mu with one channel's exposures at `other`, each channel in turn (N, T, C)."""
        moved = np.log1p(other) - np.log1p(x)
        return expit(odds + log_odds[:, None] * moved) * (size + dollars[:, None] * moved)

    now = expected(x)
    added, removed = expected(x + 1.0) - now, now - expected(np.zeros_like(x))
    bought = rng.random((n, periods)) < expit(odds[:, :, 0])
    gmv = bought * rng.gamma(GAMMA_SHAPE, np.maximum(size[:, :, 0], 1.0) / GAMMA_SHAPE)
    return _panel(config, market, age, x, gmv), _truth(x, added, removed)


def _truth(x: np.ndarray, added: np.ndarray, removed: np.ndarray) -> pd.DataFrame:
    rows = []
    for c, channel in enumerate(CHANNEL_IDS):
        counts, more, gone = x[:, :, c], added[:, :, c], removed[:, :, c]
        values = (
            ("slope", "panel_rows", more.mean()),
            ("slope", "exposure_weighted", (more * counts).sum() / counts.sum()),
            ("att_exposed", "exposed_rows", gone.sum() / (counts > 0).sum()),
            ("contribution", "panel_rows", gone.sum()),
        )
        rows += [(channel, *value) for value in values]
    return pd.DataFrame(rows, columns=["channel_id", "estimand", "exposure_distribution", "value"])


def _panel(
    config: HurdleWorldConfig, market: np.ndarray, age: np.ndarray, x: np.ndarray, gmv: np.ndarray
) -> ConsumerPanel:
    n, periods = gmv.shape
    ids = np.array([f"c{i:06d}" for i in range(n)], dtype=object)
    homes = np.array([f"m{j:02d}" for j in market], dtype=object)
    starts = pd.date_range("2024-01-01", periods=periods, freq="MS")
    i, t = np.divmod(np.arange(n * periods), periods)
    rows = pd.DataFrame({"consumer_id": ids[i], "market_id": homes[i], "period_start_date": starts[t]})
    rows = rows.assign(gmv_net_amount=gmv.ravel(), is_in_panel=True)
    i, t, c = np.nonzero(x)
    cells = pd.DataFrame(
        {
            "consumer_id": ids[i],
            "channel_id": np.array(CHANNEL_IDS, dtype=object)[c],
            "period_start_date": starts[t],
            "exposures_count": x[i, t, c],
        }
    )
    traits = pd.DataFrame({"consumer_id": ids, "characteristic_name": "age", "value_numeric": age})
    traits = traits.assign(characteristic_kind="numeric", characteristic_origin="declared", value_text=None)
    columns = ("market_id", "covariate_name", "period_start_date", "covariate_value")
    empty = pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    return ConsumerPanel.from_frames(rows, cells, traits, empty, currency_code="USD", period="month")
