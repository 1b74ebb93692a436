"""Splits hold out what they say, leak nothing into training, and refuse where a side would be empty."""

import numpy as np
import pytest

from models.errors import PanelError
from models.evaluation.splits import (
    by_consumer_splits,
    consumers_sample,
    panel_subset,
    rolling_origin_splits,
)
from models.hbmmm.statistics import SufficientStatistics

ROW_ARRAYS = ("gmv", "exposures", "covariates")


@pytest.fixture(scope="module")
def panel(money_panel):
    return money_panel(50, 12, 4, seed=8)[0]


def keys(panel) -> set:
    return set(
        zip(
            panel.consumer_ids[panel.consumer_index], panel.period_starts[panel.period_index].tolist(), strict=True
        )
    )  # fmt: skip


def test_rolling_origins_hold_out_the_next_periods_of_known_consumers(panel):
    splits = rolling_origin_splits(panel, horizon=2, folds=3)
    assert [s.name for s in splits] == [
        f"{panel.period_starts[i]} to {panel.period_starts[i + 1]}" for i in (6, 8, 10)
    ]
    for split, origin in zip(splits, (6, 8, 10), strict=True):
        start = panel.period_starts[origin]
        in_window = (panel.period_index >= origin) & (panel.period_index < origin + 2)
        before = set(panel.consumer_index[panel.period_index < origin])
        known = in_window & np.isin(panel.consumer_index, list(before))
        np.testing.assert_array_equal(split.test_positions, np.flatnonzero(known))
        assert split.new_consumer_rows_count == (in_window & ~known).sum()
        np.testing.assert_array_equal(split.test.outcome, panel.gmv[known])
        np.testing.assert_array_equal(
            split.test.consumer_ids, panel.consumer_ids[panel.consumer_index[known]]
        )
        assert keys(split.train) == {k for k in keys(panel) if np.datetime64(k[1]) < start}
        assert set(split.test.consumer_ids) <= set(split.train.consumer_ids)


def test_training_holds_no_exposure_of_the_future(panel):
    split = rolling_origin_splits(panel, horizon=4)[0]
    train = split.train
    assert train.calendar.max() < split.test.period_starts.min()
    assert train.exposure_events[:, 1].max() < len(train.calendar)
    dense = np.stack([train.exposures_by_calendar(c) for c in range(len(train.channel_ids))], axis=2)
    np.testing.assert_array_equal(dense[train.consumer_index, train.calendar_index], train.exposures)
    _, is_observed = train.lead_exposures(1)
    assert not is_observed[train.period_index == train.period_index.max()].any()


def test_new_consumers_of_the_held_out_periods_are_counted_not_scored(money_panel):
    panel = money_panel(50, 12, 4, seed=8)[0]
    splits = rolling_origin_splits(panel, horizon=1, folds=11)
    joined_late = panel.consumers_count - len(splits[0].train.consumer_ids)
    assert joined_late > 0
    assert sum(s.new_consumer_rows_count for s in splits) > 0
    assert splits[-1].new_consumer_rows_count == 0


def test_a_subset_is_the_panel_that_statistics_are_computed_from(panel):
    keep = panel.period_index < 7
    part = SufficientStatistics.from_panel(panel_subset(panel, keep))
    position = {c: i for i, c in enumerate(part.consumer_ids.tolist())}
    for i, who in enumerate(panel.consumer_ids):
        mine = keep & (panel.consumer_index == i)
        assert mine.any() == (who in position)
        if mine.any():
            at = position[who]
            assert part.rows_count[at] == mine.sum()
            assert part.packed[at, -1] == pytest.approx((panel.gmv[mine] ** 2).sum())
            home = panel.market_ids[panel.consumer_market_index[i]]
            assert part.market_ids[part.market_index[at]] == home


def test_every_consumer_is_held_out_once_and_the_seed_decides(panel):
    splits = by_consumer_splits(panel, folds=4, seed=5)
    positions = np.concatenate([s.test_positions for s in splits])
    assert sorted(positions.tolist()) == list(range(panel.rows_count))
    for split in splits:
        assert not set(split.test.consumer_ids) & set(split.train.consumer_ids)
        assert keys(split.train).isdisjoint(
            zip(split.test.consumer_ids, split.test.period_starts.tolist(), strict=True)
        )
        assert split.train.rows_count + len(split.test) == panel.rows_count
        held = {c for c in split.test.consumer_ids}
        assert len(held) in (12, 13)
    again = by_consumer_splits(panel, folds=4, seed=5)
    for one, two in zip(splits, again, strict=True):
        np.testing.assert_array_equal(one.test_positions, two.test_positions)
    other = by_consumer_splits(panel, folds=4, seed=6)
    assert any(len(a.test) != len(b.test) or (a.test_positions != b.test_positions).any()
               for a, b in zip(splits, other, strict=True))  # fmt: skip


def test_splits_without_rows_are_refused(panel, money_panel):
    with pytest.raises(PanelError, match="leave 0 to train the first on"):
        rolling_origin_splits(panel, horizon=12)
    with pytest.raises(PanelError, match="leave 0 to train"):
        rolling_origin_splits(panel, horizon=4, folds=3)
    with pytest.raises(PanelError, match="horizon is 0"):
        rolling_origin_splits(panel, horizon=0)
    with pytest.raises(PanelError, match="folds is 1"):
        by_consumer_splits(panel, folds=1)
    with pytest.raises(PanelError, match="folds is 51"):
        by_consumer_splits(panel, folds=51)
    with pytest.raises(PanelError, match="none of the panel"):
        panel_subset(panel, np.zeros(panel.rows_count, dtype=bool))
    joined = panel.period_index.copy()
    first = np.full(panel.consumers_count, 99)
    np.minimum.at(first, panel.consumer_index, joined)
    late, early = first[panel.consumer_index] >= 1, panel.period_index == 0
    leavers = panel_subset(panel, (early & ~late) | (late & (panel.period_index >= 11)))
    with pytest.raises(PanelError, match="nothing is left to test on"):
        rolling_origin_splits(leavers, horizon=1)


def test_a_sample_of_consumers_keeps_all_their_rows_and_nobody_elses(panel):
    sample = consumers_sample(panel, 7, np.random.default_rng(3))
    assert sample.consumers_count == 7 and len(set(sample.consumer_ids)) == 7
    whole = np.isin(panel.consumer_ids[panel.consumer_index], sample.consumer_ids)
    np.testing.assert_array_equal(sample.gmv, panel.gmv[whole])
    other = consumers_sample(panel, 7, np.random.default_rng(4))
    assert set(other.consumer_ids) != set(sample.consumer_ids)
    assert consumers_sample(panel, panel.consumers_count, np.random.default_rng(3)) is panel
