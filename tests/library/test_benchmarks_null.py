"""Alarms among the seeds that nobody had looked at are counted apart, and the page says which those are."""

import pandas as pd
import pytest

from benchmarks.study_null import KIND, METHODS, with_fresh_alarms
from models.evaluation.acceptance import false_alarms, upper_limit
from models.simulate.study_worlds import NULL_CHANNEL


@pytest.fixture
def scores():
    """Ten worlds of one method; alarms in seeds 0, 1 and 9."""
    return pd.DataFrame({
        "world": KIND, "method": "hbmmm", "channel_id": NULL_CHANNEL, "estimand": "slope",
        "exposure_distribution": "panel_rows", "seed": range(10), "truth": 0.0, "mean": 1.0,
        "standard_deviation": 1.0, "interval_lower": [0.5, 0.5, *[-1.0] * 7, 0.5], "interval_upper": 2.0,
    })  # fmt: skip


def test_fresh_seeds_are_counted_apart(scores):
    (row,) = with_fresh_alarms(false_alarms(scores, NULL_CHANNEL), scores, (8, 9)).to_dict("records")
    assert (row["alarms"], row["worlds"]) == (3, 10)
    assert (row["fresh_alarms"], row["fresh_worlds"]) == (1, 2)
    assert row["fresh_upper_limit"] == upper_limit(1, 2)


def test_without_fresh_seeds_nothing_is_claimed(scores):
    (row,) = with_fresh_alarms(false_alarms(scores, NULL_CHANNEL), scores, ()).to_dict("records")
    assert (row["fresh_alarms"], row["fresh_worlds"], row["fresh_upper_limit"]) == (0, 0, 1.0)


def test_the_noise_floor_is_among_the_methods():
    assert METHODS[0] == "oracle"
