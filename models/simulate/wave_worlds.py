"""Small consumer panels for the causal layer: exposure spread out or in waves, with and without shocks common to all.

    x_it ~ Bernoulli(expit(level + targeting W_i + reach_t)), and 0 outside the waves
    y_it = 60 + 25 W_i + season_t + shock_t + taste_t W_i + effect x_it + level_i + noise_it

W_i is who the consumer is: a recorded characteristic, or a latent wish to buy where `is_recorded` is false. All
consumers share the waves. shock_t moves everybody's purchases; taste_t moves those of the exposed-prone more, by chance
and anew in every period, so that a wave that meets a good period looks like an effect, and no number of consumers
shows that it was luck. The effect of exposure is `effect`, for every row: all estimands have that truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from models.panel import ConsumerPanel

CHANNEL_ID = "mail"
LEVEL, WISH_LOADING, SEASON_SIZE, OWN_SD, NOISE_SD = 60.0, 25.0, 15.0, 8.0, 10.0


@dataclass(frozen=True, slots=True)
class WaveWorldConfig:
    """A world; checked here.

    consumers_count, periods_count : sizes
    waves_count : periods in which anybody is exposed; 0 for exposure in all periods
    effect : money per exposed consumer-period
    targeting : log odds of exposure per standard deviation of W
    is_recorded : whether W is a characteristic of the panel
    shock_sd, taste_sd : money, of the shocks common to all, and of those per standard deviation of W
    """

    consumers_count: int = 250
    periods_count: int = 20
    waves_count: int = 0
    effect: float = 20.0
    targeting: float = 1.0
    is_recorded: bool = False
    shock_sd: float = 0.0
    taste_sd: float = 0.0

    def __post_init__(self) -> None:
        if self.consumers_count < 2 or self.periods_count < 2:
            raise ValueError(
                f"consumers_count {self.consumers_count}, periods_count {self.periods_count}: give 2 or more of each."
            )
        if not 0 <= self.waves_count <= self.periods_count:
            raise ValueError(f"waves_count is {self.waves_count}; it must lie in [0, {self.periods_count}].")
        if self.shock_sd < 0 or self.taste_sd < 0:
            raise ValueError(
                f"shock_sd {self.shock_sd} and taste_sd {self.taste_sd} are standard deviations: 0 or more."
            )


def simulate_wave_world(config: WaveWorldConfig, rng: np.random.Generator) -> ConsumerPanel:
    """Draw one world as a panel with one market and the channel `mail` (0 or 1 exposures a period)."""
    consumers, periods = config.consumers_count, config.periods_count
    who = rng.normal(size=(consumers, 1))
    reach = -0.2 + 0.8 * np.sin(np.arange(periods)) + 0.3 * rng.normal(size=periods)
    exposed = rng.random((consumers, periods)) < expit(config.targeting * who + reach)
    if config.waves_count:
        waves = rng.choice(periods, config.waves_count, replace=False)
        exposed &= np.isin(np.arange(periods), waves)
    season = SEASON_SIZE * np.sin(np.arange(periods)) + config.shock_sd * rng.normal(size=periods)
    taste = WISH_LOADING + config.taste_sd * rng.normal(size=periods)
    own = OWN_SD * rng.normal(size=(consumers, 1))
    noise = NOISE_SD * rng.normal(size=exposed.shape)
    gmv = LEVEL + taste * who + season + config.effect * exposed + own + noise
    return _panel(config, who[:, 0], exposed, gmv)


def _panel(config: WaveWorldConfig, who: np.ndarray, exposed: np.ndarray, gmv: np.ndarray) -> ConsumerPanel:
    consumers, periods = exposed.shape
    ids = np.array([f"c{i:05d}" for i in range(consumers)], dtype=object)
    starts = pd.date_range("2024-01-01", periods=periods, freq="7D")
    i, t = np.divmod(np.arange(consumers * periods), periods)
    rows = pd.DataFrame({"consumer_id": ids[i], "market_id": "m", "period_start_date": starts[t]})
    rows = rows.assign(gmv_net_amount=gmv.ravel(), is_in_panel=True)
    i, t = np.nonzero(exposed)
    cells = pd.DataFrame({"consumer_id": ids[i], "channel_id": CHANNEL_ID, "period_start_date": starts[t]})
    traits = pd.DataFrame({"consumer_id": ids, "characteristic_name": "who", "value_numeric": who})
    traits = traits.assign(characteristic_kind="numeric", characteristic_origin="declared", value_text=None)
    columns = ("market_id", "covariate_name", "period_start_date", "covariate_value")
    return ConsumerPanel.from_frames(
        rows,
        cells.assign(exposures_count=1.0),
        traits if config.is_recorded else traits.iloc[:0],
        pd.DataFrame({name: pd.Series(dtype=object) for name in columns}),
        currency_code="USD",
        period="week",
    )
