"""Worlds with carry-over: their truth against brute force, and outcomes that carry it."""

from dataclasses import replace

import numpy as np
import pytest

from models.simulate.consumer_config import PAPER_CHANNELS, ConsumerWorldConfig, response
from models.simulate.consumer_truth import panel_rows, row_effects, total_row_effects
from models.simulate.consumers import simulate_consumers


def expected_gmv(world, consumer, exposures):
    """Net dollars above base of one consumer in every period, (T,), by the model's definition in plain loops."""
    total = np.zeros(len(exposures))
    for c, spec in enumerate(world.config.all_channels):
        bend, carried = world.config.bends[c], 0.0
        for t in range(len(exposures)):
            carried = exposures[t, c] + spec.carryover * carried
            total[t] += world.slopes[consumer, c] * bend * np.log1p(carried / bend)
    return total * (1 - world.config.returns_share)


def test_row_truth_is_the_brute_force_counterfactual(carry_world):
    world, _ = carry_world
    who, when = panel_rows(world)
    immediate = row_effects(world, who, when)
    added, removed, contributed = total_row_effects(world, who, when)
    rng = np.random.default_rng(3)
    for row in rng.choice(len(who), 25, replace=False):
        i, t = who[row], when[row]
        panel = np.isin(np.arange(world.config.periods_count), when[who == i])
        actual = world.exposures[i].astype(float)
        base = expected_gmv(world, i, actual)
        for c in range(actual.shape[1]):
            more, none, never = actual.copy(), actual.copy(), actual.copy()
            more[t, c] += 1
            none[t, c] = 0
            never[panel, c] = 0
            gain = expected_gmv(world, i, more) - base
            loss = base - expected_gmv(world, i, none)
            assert immediate[0][row, c] == pytest.approx(gain[t], abs=1e-9)
            assert immediate[1][row, c] == pytest.approx(loss[t], abs=1e-9)
            assert added[row, c] == pytest.approx(gain[panel].sum(), abs=1e-9)
            assert removed[row, c] == pytest.approx(loss[panel].sum(), abs=1e-9)
            assert contributed[row, c] == pytest.approx((base - expected_gmv(world, i, never))[t], abs=1e-9)


def test_total_exceeds_immediate_where_exposure_carries_over_and_equals_it_elsewhere(carry_world):
    world, _ = carry_world
    keys = ["channel_id", "estimand", "exposure_distribution"]
    now = world.truth["channel"].set_index(keys)["value"]
    total = world.total_truth["channel"].set_index(keys)["value"]
    assert (world.total_truth["consumer"]["horizon"] == "total").all()
    assert total["tv", "slope", "panel_rows"] > 1.5 * now["tv", "slope", "panel_rows"]
    assert 1.1 < total["email", "slope", "panel_rows"] / now["email", "slope", "panel_rows"] < 1 / 0.7
    assert (total["retargeting"] == 0).all()
    still = simulate_consumers(
        ConsumerWorldConfig(consumers_count=60, periods_count=10), np.random.default_rng(4)
    )
    for table in ("channel", "consumer"):
        np.testing.assert_allclose(still.total_truth[table]["value"], still.truth[table]["value"], rtol=1e-9)


def test_outcomes_carry_the_truth():
    """Net GMV regressed, within consumers, on the response to adstock has slope 1, and so has its carried part."""
    channels = tuple(replace(c, carryover=0.5) for c in PAPER_CHANNELS)
    config = ConsumerWorldConfig(consumers_count=3_000, channels=channels)
    world = simulate_consumers(config, np.random.default_rng(5))
    panel = world.to_panel()
    who, when = panel_rows(world)
    scale = (1 - config.returns_share) * world.slopes[who]
    whole = (scale * response(world.adstock[who, when], config.bends)).sum(axis=1)
    own = (scale * response(world.exposures[who, when], config.bends)).sum(axis=1)
    columns = np.column_stack([whole, own, whole - own])
    columns -= panel.consumer_means(columns)[panel.consumer_index]
    residual = panel.gmv - panel.consumer_means(panel.gmv)[panel.consumer_index]
    slope = (columns[:, 0] @ residual) / (columns[:, 0] @ columns[:, 0])
    error = residual.std() / np.sqrt(columns[:, 0] @ columns[:, 0])
    assert abs(slope - 1) < 3 * error
    assert error < 0.12
    both = columns[:, 1:]
    carried = np.linalg.solve(both.T @ both, both.T @ residual)[1]
    error = residual.std() * np.sqrt(np.linalg.inv(both.T @ both)[1, 1])
    assert abs(carried - 1) < 3 * error
    assert carried > 3 * error


def test_refuses_impossible_carryover():
    with pytest.raises(ValueError, match=r"carryover is 1\.0"):
        replace(PAPER_CHANNELS[0], carryover=1.0)
    with pytest.raises(ValueError, match="without carry-over"):
        ConsumerWorldConfig(outcome="log1p", channels=(replace(PAPER_CHANNELS[0], carryover=0.4),))
    log_world = simulate_consumers(
        ConsumerWorldConfig(consumers_count=60, outcome="log1p"), np.random.default_rng(6)
    )
    with pytest.raises(ValueError, match="only its immediate effects"):
        _ = log_world.total_truth
