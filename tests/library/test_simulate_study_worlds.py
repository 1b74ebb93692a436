"""The worlds that estimators are judged on: their seeds can be neither shared nor moved without a test failing."""

import pytest

from models.simulate.study_worlds import NULL_CHANNEL, WORLD_KINDS


def test_seeds_are_distinct_fixed_and_fewer_are_a_prefix_of_more():
    seeds = [seed for kind in WORLD_KINDS.values() for seed in kind.seeds()]
    assert len(set(seeds)) == len(seeds) == 600
    for kind in WORLD_KINDS.values():
        assert kind.seeds(3) == kind.seeds()[:3]
    assert WORLD_KINDS["confounded"].seeds(2) == (2708853128, 918499226)
    with pytest.raises(ValueError, match="11 worlds of kind 'feedback'"):
        WORLD_KINDS["feedback"].seeds(11)


def test_every_kind_has_the_targeted_channel_without_effect():
    for kind in WORLD_KINDS.values():
        channels = {c.name: c for c in kind.config.all_channels}
        assert channels[NULL_CHANNEL].slope_mean == 0
        shares = {name: channel.targeting_share for name, channel in channels.items()}
        assert max(shares, key=shares.get) == NULL_CHANNEL
        assert len({kind.number for kind in WORLD_KINDS.values()}) == len(WORLD_KINDS)
