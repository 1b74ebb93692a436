"""The concave exposure column and where it bends."""

from __future__ import annotations

import numpy as np
import pytest

from models.transforms.concave import concave, exposure_bends


def test_bends_are_the_power_of_two_nearest_the_mean_where_exposed():
    channel = np.array([0, 0, 0, 1, 1, 3])
    counts = np.array([9.0, 1.0, 0.0, 10.0, 12.0, 0.2])  # means 5, 11, none, 0.2
    np.testing.assert_array_equal(exposure_bends(channel, counts, 4), [4.0, 8.0, 1.0, 0.25])


def test_a_few_more_exposures_leave_the_bend():
    counts = np.random.default_rng(1).poisson(10, 500)
    bends = [exposure_bends(np.zeros(500, dtype=int), counts + more, 1)[0] for more in (0.0, 0.5, 1.0)]
    assert bends == [8.0, 8.0, 8.0]


def test_half_of_the_first_slope_is_left_at_the_bend():
    step = 1e-6
    slope = (concave(np.array([8.0 + step, step]), 8.0) - concave(np.array([8.0, 0.0]), 8.0)) / step
    assert slope[0] / slope[1] == pytest.approx(0.5, rel=1e-4)
