"""Effects where exposure carries over: weights against plain loops, and horizons that agree without carry-over."""

import numpy as np
import pytest

from models.hbmmm.carried_weights import carried_estimands
from models.hbmmm.exposure_weights import ExposureSums, estimands_of

BENDS = np.array([2.0, 8.0, 16.0])


def value(estimand, bx, bl):
    total = (estimand.weight_x * bx + estimand.weight_log1p * bl).sum(axis=0)
    return total if estimand.denominator is None else total / estimand.denominator.sum(axis=0)


def test_effects_are_differences_of_predictions_row_by_row(carry_world):
    """Against brute force: rebuild every consumer's adstock under each counterfactual and predict all its rows."""
    world, panel = carry_world
    decays, bends = np.array([0.3, 0.5, 0.7]), np.array([0.5, 4.0, 16.0])
    rng = np.random.default_rng(0)
    bx, bl = rng.normal(size=(2, panel.consumers_count, 3))
    position = {c: i for i, c in enumerate(world.consumer_ids)}
    sums = {(h, e): np.zeros(3) for h in ("immediate", "total") for e in range(4)}
    bottom = np.zeros((4, 3))
    for n, consumer in enumerate(panel.consumer_ids):
        x = world.exposures[position[consumer]].astype(float)
        when = panel.calendar_index[panel.consumer_index == n]

        def predicted(exposures, n=n, when=when):
            carried = np.zeros(3)
            rows = []
            for t in range(len(exposures)):
                carried = exposures[t] + decays * carried
                now = (1 - decays) * carried
                rows.append(bx[n] * now + bl[n] * np.log1p(now / bends))
            return np.array(rows)[when]

        base, never = predicted(x), x.copy()
        never[when] = 0
        for j, t in enumerate(when):
            more, none = x.copy(), x.copy()
            more[t] += 1
            none[t] = 0
            gain, loss = predicted(more) - base, base - predicted(none)
            for h, pick in (("immediate", slice(j, j + 1)), ("total", slice(None))):
                sums[h, 0] += gain[pick].sum(axis=0)
                sums[h, 1] += x[t] * gain[pick].sum(axis=0)
                sums[h, 2] += loss[pick].sum(axis=0)
            sums["immediate", 3] += loss[j]
            bottom += [np.ones(3), x[t], x[t] > 0, np.zeros(3)]
        sums["total", 3] += (base - predicted(never)).sum(axis=0)
    bottom[3] = 1
    found = carried_estimands(panel, decays, panel.consumer_ids, tuple(panel.channel_ids), bends)
    assert [e.horizon for e in found] == ["immediate"] * 4 + ["total"] * 4
    for i, estimand in enumerate(found):
        expected = sums[estimand.horizon, i % 4] / bottom[i % 4]
        np.testing.assert_allclose(value(estimand, bx, bl), expected, rtol=1e-9)


def test_without_carryover_both_horizons_are_the_plain_effects(carry_world):
    panel = carry_world[1]
    channels = tuple(panel.channel_ids)
    plain = estimands_of(ExposureSums.from_panel(panel, panel.consumer_ids, channels, BENDS))
    found = carried_estimands(panel, [0.0] * 3, panel.consumer_ids, channels, BENDS)
    for own, other in zip(plain * 2, found, strict=True):
        np.testing.assert_allclose(other.weight_x, own.weight_x, rtol=1e-12)
        np.testing.assert_allclose(other.weight_log1p, own.weight_log1p, rtol=1e-9, atol=1e-12)


def test_a_linear_total_slope_is_the_mean_of_the_finite_multipliers(carry_world):
    panel = carry_world[1]
    slope = carried_estimands(panel, [0.6] * 3, panel.consumer_ids, tuple(panel.channel_ids), BENDS)[4]
    rows = np.bincount(panel.consumer_index)
    expected = sum((1 - 0.6**k) / 0.4 for n in rows for k in range(1, n + 1)) / panel.rows_count
    assert value(slope, 1.0, 0.0)[0] == pytest.approx((1 - 0.6) * expected)
    assert expected < 1 / 0.4


def test_consumers_and_channels_come_in_the_order_of_the_fit(carry_world):
    panel = carry_world[1]
    some = panel.consumer_ids[[5, 2, 9]]
    whole = carried_estimands(panel, [0.3, 0.5, 0.7], panel.consumer_ids, tuple(panel.channel_ids), BENDS)[7]
    part = carried_estimands(panel, [0.3, 0.5, 0.7], some, ("tv", "email"), BENDS[[2, 0]])[7]
    np.testing.assert_array_equal(part.weight_log1p, whole.weight_log1p[[5, 2, 9]][:, [2, 0]])
