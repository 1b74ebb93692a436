"""The short path of the recovery tests (events to marts in NumPy) gives what dbt gives from the same files."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.panel import ConsumerPanel
from models.simulate.consumer_config import ConsumerWorldConfig
from models.simulate.consumers import ConsumerWorld, simulate_consumers


@pytest.fixture(scope="module")
def world() -> ConsumerWorld:
    config = ConsumerWorldConfig(
        consumers_count=150, markets_count=3, periods_count=10, joiners_share=0.3, leavers_share=0.3
    )
    return simulate_consumers(replace(config, returns_share=0.1), np.random.default_rng(21))


@pytest.fixture(scope="module")
def marts(world: ConsumerWorld, dbt_home_factory) -> dict[str, pd.DataFrame]:
    home = dbt_home_factory({name: frame.to_csv(index=False) for name, frame in world.tables.items()})
    home.land()
    home.build()
    return {name: home.mart(name) for name in world.mart_frames}


KEYS = {
    "consumer_periods": ["consumer_id", "period_start_date"],
    "consumer_channel_periods": ["consumer_id", "channel_id", "period_start_date"],
    "consumer_characteristics": ["consumer_id", "characteristic_name"],
    "market_covariate_periods": ["market_id", "covariate_name", "period_start_date"],
}


@pytest.mark.parametrize("name", KEYS)
def test_every_mart_agrees_column_by_column(world: ConsumerWorld, marts: dict[str, pd.DataFrame], name: str):
    expected, found = (
        frame.assign(**{k: frame[k].astype(str).str[:10] for k in KEYS[name] if k.endswith("_date")})
        .sort_values(KEYS[name])
        .reset_index(drop=True)
        for frame in (world.mart_frames[name], marts[name])
    )
    assert len(found) == len(expected)
    if name == "consumer_characteristics":  # the warehouse also keeps the text that a number was read from
        found.loc[found["characteristic_kind"] == "numeric", "value_text"] = None
    for column in expected.columns:
        if pd.api.types.is_float_dtype(expected[column]):
            values = found[column].astype(float).to_numpy()
            np.testing.assert_allclose(values, expected[column], atol=1e-6, err_msg=column)
        else:
            left, right = (f[column].astype(object).where(f[column].notna(), None) for f in (found, expected))
            assert left.tolist() == right.tolist(), column


def test_the_panels_are_equal(world: ConsumerWorld, marts: dict[str, pd.DataFrame]):
    direct = world.to_panel()
    built = ConsumerPanel.from_frames(**marts, currency_code="USD", period="month")
    for name in (
        "consumer_ids",
        "channel_ids",
        "consumer_index",
        "period_index",
        "exposures",
        "spend_stratum",
    ):
        np.testing.assert_array_equal(getattr(built, name), getattr(direct, name), err_msg=name)
    np.testing.assert_allclose(built.gmv, direct.gmv, atol=1e-6)
    np.testing.assert_allclose(built.covariates, direct.covariates)
    assert (built.period_starts == direct.period_starts).all()
