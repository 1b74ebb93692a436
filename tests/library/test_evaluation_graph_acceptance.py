"""Bounds of the graph study: held, broken, or not evaluated where too little was measured."""

import numpy as np
import pytest

from models.evaluation.graph_acceptance import (
    BOUNDS,
    calibration_error,
    graph_verdicts,
    growth,
    summed_bins,
    timing_verdicts,
)


def row(kind="sim1", method="classical", worlds=5, bins=((0.05, 0.04, 90), (0.95, 0.98, 10)), **figures):
    found = {"auroc_pooled": 0.996, "accuracy": 0.98, "seconds": 3.0, "calibration_error": 0.02} | figures
    return {
        "kind": kind,
        "method": method,
        "worlds": worlds,
        **{name: {"mean": value, "sd": 0.002 if worlds > 1 else None} for name, value in found.items()},
        "reliability": [
            {"lowest": round(s - 0.05, 2), "stated": s, "observed": o, "pairs_count": n} for s, o, n in bins
        ],
    }


def verdict(found, criterion, subject):
    (one,) = [v for v in found if v.criterion == criterion and v.subject == subject]
    return one


def test_means_are_held_against_their_bounds_with_their_error():
    found = graph_verdicts([row()])
    assert len(found) == len(BOUNDS) + 2
    held = verdict(found, "AUROC", "classical, sim1")
    assert held.passed is True and held.value == 0.996
    assert held.monte_carlo_error == pytest.approx(0.002 / np.sqrt(5)) and held.bound.startswith(
        "at least 0.995"
    )
    assert verdict(found, "ACC", "classical, sim1").passed is False  # .98 where .985 is asked
    seconds = verdict(found, "CPU seconds of a fit", "classical, sim1")
    assert seconds.passed is True and seconds.bound.startswith("at most 60")
    assert verdict(graph_verdicts([row(seconds=61.0)]), seconds.criterion, seconds.subject).passed is False


def test_too_few_worlds_and_what_was_not_measured_decide_nothing():
    found = graph_verdicts([row(worlds=4, auroc_pooled=0.2), row("sim2", auroc_pooled=None)])
    assert verdict(found, "AUROC", "classical, sim1").passed is None
    assert verdict(found, "AUROC", "classical, sim2").passed is None
    missing = verdict(found, "AUROC", "classical, sim2_d20")
    assert missing.passed is None and np.isnan(missing.value)
    assert all(one.passed is None for one in graph_verdicts([]))


def test_every_bound_of_the_study_asks_for_worlds_that_it_draws():
    from benchmarks.causalmmm_graph_methods import is_measured
    from models.simulate.shop_studies import SHOPS_KINDS

    assert all(one.kind in SHOPS_KINDS and is_measured(one.kind, one.method) for one in BOUNDS)


def test_calibration_is_judged_over_all_pairs_and_on_the_worst_kind():
    rows = [
        row(),
        row("sim2", calibration_error=0.05, bins=((0.05, 0.15, 100),)),
        row("sim1", "mediamix", bins=()),
    ]
    bins = summed_bins(rows)
    assert bins[0] == pytest.approx(
        {"lowest": 0.0, "stated": 0.05, "observed": (0.04 * 90 + 0.15 * 100) / 190, "pairs_count": 190}
    )
    gaps = 190 * abs(bins[0]["observed"] - 0.05) + 10 * 0.03
    assert calibration_error(bins) == pytest.approx(gaps / 200)
    together, worst = graph_verdicts(rows)[-2:]
    assert together.value == pytest.approx(gaps / 200) and together.passed is False
    assert (worst.subject, worst.passed) == ("sim2", False)
    assert graph_verdicts(rows[:1])[-1].passed is True
    assert np.isnan(calibration_error([]))


def test_growth_is_the_power_of_the_size():
    sizes = np.array([25, 50, 100, 400])
    assert growth(sizes, 0.3 * sizes**1.4) == pytest.approx(1.4)
    assert np.isnan(growth([50], [1.0]))
    found = timing_verdicts(
        {("classical", "shops"): 1.05, ("classical", "periods"): np.nan, ("x", "shops"): 1.4},
        {"classical": 899.0, "mediamix": 901.0},
    )
    assert [one.passed for one in found] == [True, None, False, True, False]
