"""Outcome log1p: statistics from SQL are those of the NumPy reference, also where returns exceed purchases."""

from dataclasses import replace

import numpy as np
import pytest

from models.hbmmm.statistics import SufficientStatistics
from models.panel import ConsumerPanel
from models.simulate.consumer_config import PAPER_CHANNELS, ConsumerWorldConfig
from models.simulate.consumers import simulate_consumers

WORLD = ConsumerWorldConfig(
    consumers_count=40, markets_count=2, periods_count=8, channels=PAPER_CHANNELS[2:], returns_share=0.3
)


@pytest.fixture(scope="module")
def home(dbt_home_factory):
    world = simulate_consumers(replace(WORLD, joiners_share=0.3), np.random.default_rng(8))
    made = dbt_home_factory(
        {name: frame.to_csv(index=False) for name, frame in world.tables.items()}, outcome="log1p"
    )
    made.land()
    made.build()
    return made


def test_statistics_of_log1p_equal_numpy(home):
    marts = ("consumer_periods", "consumer_channel_periods", "consumer_characteristics")
    panel = ConsumerPanel.from_frames(
        *(home.mart(name) for name in (*marts, "market_covariate_periods")),
        currency_code="USD",
        period="month",
    )
    assert (panel.gmv < 0).any() and (panel.gmv == 0).any()
    sql = SufficientStatistics.from_marts(
        home.mart("consumer_sufficient_statistics"), home.mart("design_columns")
    )
    numpy = SufficientStatistics.from_panel(panel, outcome="log1p")
    assert sql.outcome == "log1p"
    assert sql.columns == numpy.columns
    assert sql.consumer_ids.tolist() == numpy.consumer_ids.tolist()
    np.testing.assert_allclose(sql.packed, numpy.packed, rtol=1e-9, atol=1e-9)


def test_an_outcome_that_sql_does_not_know_is_refused(home):
    done = home.build("--select", "int_design_columns_listed", check=False, outcome="two_part")
    assert done.returncode != 0
    assert "it must be money or log1p" in done.stdout + done.stderr
