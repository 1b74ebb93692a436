"""A small money-scale panel for the HBMMM's tests: every number known, no warehouse."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.panel import ConsumerPanel


def build_money_panel(
    consumers_count: int = 60,
    periods_count: int = 8,
    markets_count: int = 4,
    channels_count: int = 2,
    *,
    seed: int = 0,
    missing_share: float = 0.0,
    targeting: float = 0.8,
    noise_sd: float = 10.0,
    log_rate: float = 0.2,
    exposed_noise: float = 1.0,
    binary: bool = False,
) -> tuple[ConsumerPanel, np.ndarray]:
    """Panel and true mean slopes (C,): y = level + slope x + 2 covariate + season + noise, the last channel null.

    targeting: how far exposures follow the unrecorded level. log_rate: of exposures, at the average level.
    exposed_noise: factor on the noise of rows that the first channel reaches (heteroskedastic errors).
    """
    rng = np.random.default_rng(seed)
    n, t_count, c_count = consumers_count, periods_count, channels_count
    market = np.arange(n) % markets_count
    wish, age = rng.normal(size=n), rng.normal(40, 10, size=n)
    plan = rng.choice(["basic", "plus"], size=n)
    starts = np.where(rng.random(n) < 0.2, rng.integers(0, t_count // 2, n), 0)
    ends = np.where(rng.random(n) < 0.3, rng.integers(t_count // 2 + 1, t_count + 1, n), t_count)
    slopes = np.linspace(3.0, 0.0, c_count) + 0.02 * (age - 40)[:, None] * (np.arange(c_count) < c_count - 1)
    covariate = rng.normal(size=(markets_count, t_count))
    dates = pd.date_range("2024-01-01", periods=t_count, freq="MS")
    rows, cells = [], []
    used = np.zeros((0, c_count))
    for i in range(n):
        when = np.arange(starts[i], ends[i])
        rates = np.exp(log_rate + targeting * wish[i] * np.linspace(0.4, 0.9, c_count))
        x = rng.poisson(rates, (len(when), c_count))
        x = np.minimum(x, 1) if binary else x
        y = 50 + 20 * wish[i] + 4 * market[i] + x @ slopes[i] + 2 * covariate[market[i], when]
        noise = noise_sd * np.where(x[:, 0] > 0, exposed_noise, 1.0) * rng.normal(size=len(when))
        y = y + 3 * np.sin(when) + noise
        used = np.vstack([used, np.tile(slopes[i], (len(when), 1))])
        for t, amount, exposure in zip(when, y, x, strict=True):
            rows.append((f"c{i:03d}", f"m{market[i]}", dates[t], float(amount), True))
            cells += [(f"c{i:03d}", f"channel{c}", dates[t], int(v)) for c, v in enumerate(exposure) if v]
    traits = pd.DataFrame(
        {
            "consumer_id": np.tile([f"c{i:03d}" for i in range(n)], 3),
            "characteristic_name": np.repeat(["age", "plan", "pre_period_spend_stratum"], n),
            "characteristic_kind": np.repeat(["numeric", "categorical", "categorical"], n),
            "characteristic_origin": np.repeat(["declared", "declared", "pre_period"], n),
            "value_numeric": np.concatenate([age, np.full(2 * n, np.nan)]),
            "value_text": np.concatenate([np.full(n, None), plan, np.where(wish > 0, "high", "low")]),
        }
    )
    hidden = (np.arange(3 * n) < 2 * n) & (rng.random(3 * n) < missing_share)
    traits.loc[hidden, "value_numeric"] = np.nan
    traits.loc[hidden, "value_text"] = None
    grid = pd.MultiIndex.from_product([range(markets_count), range(t_count)])
    covariates = pd.DataFrame(
        {
            "market_id": [f"m{j}" for j, _ in grid],
            "covariate_name": "weather",
            "period_start_date": [dates[t] for _, t in grid],
            "covariate_value": covariate.ravel(),
        }
    )
    panel = ConsumerPanel.from_frames(
        pd.DataFrame(
            rows, columns=["consumer_id", "market_id", "period_start_date", "gmv_net_amount", "is_in_panel"]
        ),
        pd.DataFrame(cells, columns=["consumer_id", "channel_id", "period_start_date", "exposures_count"]),
        traits,
        covariates,
        currency_code="USD",
        period="month",
    )
    return panel, used.mean(axis=0)


@pytest.fixture(scope="session")
def money_panel() -> Callable[..., tuple[ConsumerPanel, np.ndarray]]:
    """`build_money_panel`: the panel and the true mean slopes."""
    return build_money_panel


@pytest.fixture(scope="session")
def small_fit(money_panel):
    """Panel, true slopes and a fit of 120 consumers with gaps in their characteristics (two completed data sets)."""
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import fit_hbmmm
    from models.hbmmm.statistics import SufficientStatistics

    panel, slopes = money_panel(120, 10, 4, seed=5, missing_share=0.2)
    config = HBMMMConfig(
        draws=120, tune=20, imputations_count=2, imputation_rounds=4, effect_draws=400, seed=3
    )
    told = []
    fit = fit_hbmmm(
        SufficientStatistics.from_panel(panel),
        panel.characteristics,
        config,
        progress=lambda text, share: told.append((text, share)),
    )
    return panel, slopes, fit, told


@pytest.fixture(scope="session")
def carry_world():
    """A small monthly world in which email and tv carry over, the null channel does not, and its panel."""
    from models.simulate.consumer_config import PAPER_CHANNELS, ConsumerWorldConfig
    from models.simulate.consumers import simulate_consumers

    channels = tuple(
        replace(c, carryover={"tv": 0.6, "email": 0.3}[c.name])
        for c in PAPER_CHANNELS
        if c.name in ("tv", "email")
    )
    config = ConsumerWorldConfig(
        consumers_count=150, markets_count=4, periods_count=14, channels=channels, saturation_scale=2.0
    )
    world = simulate_consumers(config, np.random.default_rng(17))
    return world, world.to_panel()
