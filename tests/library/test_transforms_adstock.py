"""Adstock: its limits, its impulse response, and that nothing is lost where the panel starts."""

import numpy as np
import pytest

from models.errors import PanelError
from models.transforms.adstock import (
    adstock_at_rows,
    carried_panel,
    geometric_adstock,
)


def test_decay_zero_is_the_identity():
    x = np.random.default_rng(0).poisson(2.0, (5, 9))
    np.testing.assert_array_equal(geometric_adstock(x, 0.0), x)


def test_adstock_is_the_convolution_with_the_impulse_response():
    x = np.random.default_rng(1).poisson(2.0, (4, 12)).astype(float)
    response = 0.6 ** np.arange(12)
    expected = [np.convolve(row, response)[:12] for row in x]
    np.testing.assert_allclose(geometric_adstock(x, 0.6), expected, rtol=1e-12)


def test_one_exposure_leaves_the_impulse_response_and_sums_to_the_multiplier():
    x = np.zeros(10)
    x[3] = 1.0
    carried = geometric_adstock(x, 0.7)
    assert (carried[:3] == 0).all()
    np.testing.assert_allclose(carried[3:], 0.7 ** np.arange(7))
    assert carried.sum() == pytest.approx((1 - 0.7**7) / 0.3)


def test_constant_exposure_settles_at_the_long_run_multiplier():
    assert geometric_adstock(np.full(300, 2.0), 0.9)[-1] == pytest.approx(20.0)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_refuses_decays_that_are_none(decay):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        geometric_adstock(np.zeros(3), decay)


def test_rows_carry_what_came_before_the_panel(carry_world):
    """Against a plain loop over the world's own exposures, of which the first three periods are no panel rows."""
    world, panel = carry_world
    decays = np.linspace(0.3, 0.8, len(panel.channel_ids))
    found = adstock_at_rows(panel, decays)
    consumer = {c: i for i, c in enumerate(world.consumer_ids)}
    rng = np.random.default_rng(2)
    for row in rng.choice(panel.rows_count, 40, replace=False):
        i = consumer[panel.consumer_ids[panel.consumer_index[row]]]
        t = panel.calendar_index[row]
        expected = np.zeros(len(decays))
        for s in range(t + 1):
            expected += (1 - decays) * world.exposures[i, s] * decays ** (t - s)
        np.testing.assert_allclose(found[row], expected, rtol=1e-12)
    first = np.r_[True, np.diff(panel.consumer_index) > 0]
    assert (found[first] > (1 - decays) * panel.exposures[first]).any(axis=0).all()  # the pre-period is in it


def test_decay_zero_leaves_the_panel_as_it_is(carry_world):
    panel = carry_world[1]
    same = carried_panel(panel, [0.0] * len(panel.channel_ids))
    np.testing.assert_array_equal(same.exposures, panel.exposures)


def test_refuses_panels_without_a_history_of_their_own(carry_world):
    panel = carry_world[1]
    moved = panel.with_exposures(panel.exposures + 1.0)
    with pytest.raises(PanelError, match="differ from the panel's exposure events"):
        adstock_at_rows(moved, [0.5] * len(panel.channel_ids))
    with pytest.raises(PanelError, match="give each channel one"):
        adstock_at_rows(panel, [0.5])
