"""Effects by segment: sums that add up, orders found, the size of a difference's interval."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from models.effects.consumer_bootstrap import CONSUMERS_MINIMUM
from models.effects.cross_fitting import consumer_folds, cross_fit
from models.effects.doubly_robust import ExposureScores, estimate_effect, exposure_scores
from models.effects.segment_effects import categorical_segments, segment_effects

EFFECTS = {"old": 30.0, "middle": 20.0, "young": 10.0}
WORLDS = 80


def world(rng: np.random.Generator, consumers: int, months: int = 6, effects=EFFECTS):
    """Effects differ by segment; exposure and purchases follow a recorded characteristic; (scores, segments)."""
    segment = np.array(list(effects), dtype=object)[rng.integers(3, size=consumers)]
    w, level = rng.normal(size=consumers), 10 * rng.normal(size=consumers)
    who = np.repeat(np.arange(consumers), months)
    d = rng.random(len(who)) < expit(w + 0.5 * (segment == "old"))[who]
    effect = np.array([effects[s] for s in segment])[who]
    y = 50 + (10 * w + level)[who] + effect * d + 10 * rng.normal(size=len(who))
    features = np.column_stack([w, segment == "old", segment == "young"]).astype(float)[who]
    nuisances = cross_fit(features, d, y, consumer_folds(who, 2, rng))
    return exposure_scores(d, y, who, nuisances, trimming_threshold=0.0), segment


def table(scores: ExposureScores, segment: np.ndarray, rng: np.random.Generator, **options) -> pd.DataFrame:
    names = {"channel_id": "tv", "segment_name": "age", "unit": "USD per exposed consumer-period"}
    return segment_effects(scores, segment, rng, method="aipw_lagged", **names, **options)


def test_segments_are_found_in_their_order_and_add_up_to_the_whole():
    rng = np.random.default_rng(1)
    scores, segment = world(rng, 600)
    found = table(scores, segment, rng).set_index("segment_value")
    assert found.index.tolist() == ["middle", "old", "young"]
    for name, effect in EFFECTS.items():
        row = found.loc[name]
        assert row["interval_lower"] < effect < row["interval_upper"]
        assert abs(row["mean"] - effect) < 3 * row["standard_deviation"] < 6
    assert found.loc["young", "interval_upper"] < found.loc["middle", "interval_lower"]
    assert found.loc["middle", "interval_upper"] < found.loc["old", "interval_lower"]
    whole = estimate_effect(scores, "aipw", "ate_exposed", rng).estimate
    assert np.average(found["mean"], weights=found["rows_count"]) == pytest.approx(whole, rel=1e-9)
    assert found["consumers_count"].sum() == 600
    assert set(found["estimand"]) == {"cate"}
    assert not found["is_primary"].any()


def test_differences_from_others_by_hand_and_of_the_right_size_under_none():
    """80 worlds of one common effect: the interval of the difference leaves out zero about one time in twenty."""
    missed = []
    for seed in range(WORLDS):
        rng = np.random.default_rng(3_000 + seed)
        scores, segment = world(rng, 120, effects=dict.fromkeys(EFFECTS, 20.0))
        found = table(scores, segment, rng, draws_count=300)
        missed += ((found["difference_lower"] > 0) | (found["difference_upper"] < 0)).tolist()
    assert 0.01 <= np.mean(missed) <= 0.12
    inside = (segment == "old")[scores.consumer_index]
    expected = scores.aipw[inside].mean() - scores.aipw[~inside].mean()
    assert found.set_index("segment_value").loc["old", "difference_from_others"] == pytest.approx(expected)


def test_a_handful_of_consumers_is_not_described():
    rng = np.random.default_rng(2)
    scores, segment = world(rng, 200)
    segment[: CONSUMERS_MINIMUM - 1] = "few"
    row = table(scores, segment, rng).set_index("segment_value").loc["few"]
    assert row["not_identified_reason"] == "19 consumers, at least 20 are needed"
    assert np.isnan(row[["mean", "interval_lower", "difference_from_others"]].astype(float)).all()


def test_segments_of_a_panel_are_its_categories_and_spend_strata_with_the_missing_named():
    panel = SimpleNamespace(
        spend_stratum=np.array(["none", "low", "high"], dtype=object),
        characteristics=pd.DataFrame({"plan": ["plus", None, "basic"], "age": [30.0, np.nan, 50.0]}),
        characteristic_kinds={"plan": "categorical", "age": "numeric"},
    )
    found = {name: values.tolist() for name, values in categorical_segments(panel).items()}
    assert found == {
        "pre_period_spend_stratum": ["none", "low", "high"],
        "plan": ["plus", "missing", "basic"],
    }
