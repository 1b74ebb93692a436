"""Noise strata: enough buyers each, neighbours joined, nobody lost."""

import numpy as np

from models.hbmmm.strata import pooled_strata


def pooled(counts, buyers=None):
    labels = np.concatenate([np.repeat(name, count) for name, count in counts.items()]).astype(object)
    square = np.ones(len(labels)) if buyers is None else buyers
    names, position = pooled_strata(labels, square)
    return names.tolist(), dict(zip(*np.unique(names[position], return_counts=True), strict=True))


def test_strata_with_enough_buyers_stay():
    assert pooled({"none": 10, "low": 20, "high": 30})[1] == {"none": 10, "low": 20, "high": 30}


def test_a_thin_stratum_joins_the_next_one_up():
    assert pooled({"none": 1, "low": 20, "high": 30})[1] == {"low": 21, "high": 30}


def test_the_highest_joins_the_one_below():
    assert pooled({"none": 12, "low": 20, "high": 3})[1] == {"none": 12, "low": 23}


def test_consumers_who_never_buy_do_not_count():
    buyers = np.r_[np.zeros(15), np.ones(20)]
    assert pooled({"none": 15, "low": 20}, buyers)[1] == {"low": 35}


def test_few_consumers_in_all_are_one_stratum():
    assert pooled({"none": 2, "low": 3, "middle": 2, "high": 1})[1] == {"high": 8}


def test_without_the_spend_labels_names_are_taken_in_order():
    assert pooled({"b": 4, "a": 20})[1] == {"a": 24}
