"""Worlds scored below the channel, and the oracle that knows everything but the size of effects."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.evaluation.estimators import ESTIMATORS, Estimates, estimates_of_fit
from models.evaluation.oracle_effects import oracle_effects
from models.evaluation.recovery import KEYS, score_levels
from models.evaluation.world_levels import market_scores, segment_pairs
from models.simulate.consumer_config import ConsumerWorldConfig
from models.simulate.consumer_truth import panel_rows
from models.simulate.consumers import ConsumerWorld, simulate_consumers

CONFIG = ConsumerWorldConfig(consumers_count=150, markets_count=3, periods_count=9)


@pytest.fixture(scope="module")
def world() -> ConsumerWorld:
    return simulate_consumers(CONFIG, np.random.default_rng(3))


def test_the_oracle_finds_the_truth_exactly_where_there_is_no_noise(world: ConsumerWorld):
    who, when = panel_rows(world)
    panel = replace(world.to_panel(), gmv=(1 - CONFIG.returns_share) * world.gmv_means[who, when])
    truth = world.truth["channel"].set_index(KEYS)["value"]
    found = oracle_effects(world, panel).set_index(KEYS)["mean"]
    assert len(found) == len(truth)
    np.testing.assert_allclose(found, truth.reindex(found.index), rtol=1e-8, atol=1e-6 * np.abs(truth).max())


def test_the_oracles_errors_are_those_it_claims():
    z = []
    for seed in range(12):
        world = simulate_consumers(replace(CONFIG, leavers_share=0.0), np.random.default_rng(seed))
        found = oracle_effects(world, world.to_panel()).query("estimand == 'contribution'")
        truth = world.truth["channel"].set_index(KEYS)["value"]
        error = found["mean"] - truth.reindex(pd.MultiIndex.from_frame(found[KEYS])).to_numpy()
        z.append(error / found["standard_deviation"])
    z = np.array(z)
    assert abs(z.mean()) < 3.5 / np.sqrt(z.size)
    assert 0.75 < z.std() < 1.25


def test_the_oracle_refuses_a_world_whose_effects_do_not_add_up():
    world = simulate_consumers(replace(CONFIG, outcome="log1p"), np.random.default_rng(1))
    with pytest.raises(ValueError, match="'money'"):
        oracle_effects(world, world.to_panel())


def slope_rows(**columns: list) -> pd.DataFrame:
    return pd.DataFrame(columns).assign(estimand="slope", exposure_distribution="panel_rows")


def test_market_scores_by_hand():
    found = {
        "a": Estimates(
            slope_rows(channel_id=["tv"], mean=[2.0]),
            slope_rows(channel_id=["tv", "tv"], mean=[1.0, 4.0], market_id=["m1", "m2"]),
        ),
        "b": Estimates(slope_rows(channel_id=["tv"], mean=[9.0])),
    }
    truth = slope_rows(channel_id=["tv", "tv"], value=[1.5, 2.5], market_id=["m1", "m2"])
    table = market_scores(found, truth).set_index(["method", "market_id"])
    assert table["mean"].to_dict() == {
        ("a", "m1"): 1.0, ("a", "m2"): 4.0, ("a_pooled", "m1"): 2.0, ("a_pooled", "m2"): 2.0,
    }  # fmt: skip
    assert table.loc[("a", "m2"), "truth"] == 2.5


def test_segment_pairs_by_hand(world: ConsumerWorld):
    """Members are weighted by their panel rows; the gap's error is that of two independent estimates."""
    panel = world.to_panel()
    young = np.arange(panel.consumers_count) % 3 == 0
    rows = slope_rows(
        channel_id=["tv", "tv"],
        mean=[1.0, 0.4],
        standard_deviation=[0.3, 0.4],
        segment_name=["age", "age"],
        segment_value=["young", "old"],
    )
    members = {("age", "young"): young, ("age", "old"): ~young}
    pair = segment_pairs({"a": Estimates(rows, None, rows, members)}, panel, world.truth["consumer"])
    assert len(pair) == 1
    pair = pair.iloc[0]
    assert (pair["segment_value"], pair["other_value"]) == ("young", "old")
    assert pair["estimated_gap"] == pytest.approx(0.6)
    assert pair["standard_error"] == pytest.approx(0.5)
    who, when = panel_rows(world)
    tv = CONFIG.channel_ids.index("tv")
    x, bend = world.exposures[who, when, tv], CONFIG.bends[tv]
    added = 0.96 * world.slopes[who, tv] * bend * (np.log1p((x + 1) / bend) - np.log1p(x / bend))
    inside = young[panel.consumer_index]
    assert pair["truth_gap"] == pytest.approx(added[inside].mean() - added[~inside].mean())


def test_every_level_of_a_world_is_scored_and_market_regressions_share_nothing():
    methods = {"oracle": {}, "within_consumer": {}, "random_effects": {}}
    levels = score_levels(CONFIG, 3, methods)
    assert set(levels["channel"]["method"]) == set(methods)
    assert levels["channel"]["truth"].notna().all() and (levels["channel"]["gmv"] > 0).all()
    markets = levels["market"].groupby("method").size()
    assert markets.to_dict() == {"within_consumer": 15, "within_consumer_pooled": 15}
    assert levels["segment"].empty

    panel = simulate_consumers(CONFIG, np.random.default_rng(3)).to_panel()
    doubled = replace(panel, gmv=np.where(panel.market_index == 0, 2.0, 1.0) * panel.gmv)
    key = ["market_id", *KEYS]
    before, after = (
        ESTIMATORS["within_consumer"](p, {}).market.set_index(key)["mean"] for p in (panel, doubled)
    )
    first = before.index.get_level_values("market_id") == panel.market_ids[0]
    np.testing.assert_allclose(after[first], 2 * before[first])
    np.testing.assert_allclose(after[~first], before[~first])


def test_hbmmm_segments_have_the_members_they_speak_of(small_fit):
    panel, _, fit, _ = small_fit
    found = estimates_of_fit(fit, panel)
    rows = found.segment.query("estimand == 'slope' and channel_id == 'channel0'")
    assert len(rows) and found.divergences_count == fit.divergences_count
    for row in rows.itertuples():
        assert found.members[row.segment_name, row.segment_value].sum() == row.consumers_count
    plus = found.members["plan", "plus"]
    assert (panel.characteristics["plan"][plus] == "plus").all()
    assert (panel.characteristics["plan"][~plus] != "plus").all()
