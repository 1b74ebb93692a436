"""A world of the causal study keeps every estimand whose coverage the page shows."""

import numpy as np

from benchmarks import study_causal
from benchmarks.study_causal import DOSES, EFFECT, METHODS, OTHERS, dose_panel, half_of, page, summary, world
from models.simulate.wave_worlds import WaveWorldConfig, simulate_wave_world


def test_att_a_segment_and_the_dose_slope_are_kept_and_shown(monkeypatch):
    monkeypatch.setattr(study_causal, "DRAWS", 30)
    found = world(("recorded, spread", 0))
    names = {f"{estimand}: {method}" for estimand, methods in OTHERS.items() for method in methods}
    names.add(DOSES)
    assert set(found["others"]) == names and set(found["methods"]) == set(METHODS)
    assert np.isfinite(list(found["others"].values())).all()
    mean, error, low, high = found["others"]["att_exposed: aipw_lagged"]
    assert abs(mean - EFFECT) < 5 * error and low < mean < high
    lost = {**found, "others": {name: [float("nan")] * 4 for name in names}}
    kinds = {"recorded, spread": summary([found, found]), "recorded, waves": summary([found, lost])}
    where = dict.fromkeys(("date", "commit", "cores", "memory_gib", "load_average"), "x")
    content = {
        "command": "make", "provenance": where | {"tree_is_clean": True}, "seconds_of_this_run": 1.0, "seed": 1,
        "worlds": 2, "effect": EFFECT, "kinds": kinds,
    }  # fmt: skip
    text = page(content)
    assert "cate: aipw_lagged" in text and "- (1 worlds)" in text


def test_the_segment_is_recorded_or_by_number():
    recorded = simulate_wave_world(WaveWorldConfig(40, 5, is_recorded=True), np.random.default_rng(1))
    cause = recorded.characteristics["who"].to_numpy(dtype=float)
    np.testing.assert_array_equal(half_of(recorded) == "one", cause > 0)
    latent = simulate_wave_world(WaveWorldConfig(40, 5), np.random.default_rng(1))
    assert (half_of(latent) == "one").sum() == 20


def test_doses_follow_the_cause_of_their_world_and_are_worth_the_effect():
    panel = dose_panel("recorded, spread", 3)
    cause = panel.characteristics["who"].to_numpy(dtype=float)
    doses = panel.exposures[:, 0]
    mean = np.bincount(panel.consumer_index, doses) / np.bincount(panel.consumer_index)
    assert doses.max() > 2 and np.corrcoef(cause, mean)[0, 1] > 0.5  # so it is the world's own first draw
    periods = (panel.period_index[:, None] == np.arange(panel.period_index.max() + 1)).astype(float)
    design = np.column_stack([doses, cause[panel.consumer_index], periods])
    slope = np.linalg.lstsq(design, panel.gmv, rcond=None)[0][0]
    assert abs(slope - EFFECT) < 1.0
    waves = dose_panel("recorded, waves", 3)
    reached = np.bincount(waves.period_index, waves.exposures[:, 0]) > 0
    assert reached.sum() == study_causal.WAVES
