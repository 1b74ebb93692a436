"""What all baselines share: panels or arrays in, nothing held out is seen, columns are learned in training."""

from dataclasses import replace

import numpy as np
import pytest

from models.baselines.base import DesignMap, Prediction, Rows, combine, rows_where
from models.baselines.consumer_ols import ConsumerOLS
from models.baselines.market_bayes import MarketBayes
from models.baselines.ols import PooledOLS
from models.baselines.ridge import Ridge
from models.baselines.seasonal_naive import SeasonalNaive
from models.errors import PanelError


@pytest.mark.parametrize(
    "predictor", [PooledOLS(), Ridge(), MarketBayes(), ConsumerOLS(), SeasonalNaive()], ids=lambda p: type(p).__name__
)  # fmt: skip
def test_every_baseline_takes_panels_and_arrays_and_ignores_held_out_outcomes(predictor, money_panel):
    panel, _ = money_panel(40, 10, 3, seed=3)
    rows = Rows.of_panel(panel)
    from_panel = predictor.fit(panel).predict(rows)
    from_arrays = predictor.fit(rows).predict(rows.without_outcome())
    np.testing.assert_array_equal(from_panel.mean, from_arrays.mean)
    np.testing.assert_array_equal(from_panel.sd, from_arrays.sd)
    assert np.std(from_panel.mean) > 0 and (from_panel.sd > 0).all()
    nothing = rows_where(rows, np.zeros(len(rows), dtype=bool))
    with pytest.raises(PanelError, match="no training row"):
        predictor.fit(nothing)


def test_characteristics_are_learned_in_training_and_unknown_ones_are_average(money_panel):
    panel, _ = money_panel(40, 6, 2, seed=4)
    rows = Rows.of_panel(panel)
    design_map = DesignMap.learn(rows, with_characteristics=True)
    names = [name for name, _, _ in design_map.columns]
    assert names == ["exposure[channel0]", "exposure[channel1]", "covariate[weather]", "age", "plan=plus"]
    matrix = design_map.matrix(rows)
    np.testing.assert_allclose(matrix[:, 1:].mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(matrix[:, 1:].std(axis=0), 1.0)
    frame = rows.characteristics.copy()
    frame["age"], frame["plan"] = np.nan, "unheard of"
    strangers = design_map.matrix(replace(rows, characteristics=frame))
    assert (strangers[:, 4] == 0).all()
    plan = design_map.columns[4]
    np.testing.assert_allclose(strangers[:, 5], -plan[1] / plan[2])
    explained = PooledOLS(with_characteristics=True).fit(panel).noise_variance
    assert explained < PooledOLS().fit(panel).noise_variance


def test_rows_of_other_columns_are_refused(money_panel):
    rows = Rows.of_panel(money_panel(10, 5, 2, seed=5)[0])
    fitted = PooledOLS().fit(rows)
    with pytest.raises(PanelError, match="build both from one panel"):
        fitted.predict(replace(rows, channel_ids=("tv", "radio")))


def test_a_prediction_that_is_none_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        Prediction(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(ValueError, match="exceed 2"):
        Prediction(np.zeros(1), np.ones(1), np.array([2.0]))


def test_parts_of_a_prediction_must_cover_every_row_once():
    part = Prediction(np.array([1.0, 2.0]), np.array([3.0, 4.0]), source=np.array(["a", "b"], dtype=object))
    one = Prediction(np.array([5.0]), np.array([6.0]), np.array([7.0]))
    whole = combine(3, [(np.array([True, False, True]), part), (np.array([False, True, False]), one)])
    assert whole.mean.tolist() == [1.0, 5.0, 2.0] and whole.sd.tolist() == [3.0, 6.0, 4.0]
    assert whole.degrees_of_freedom.tolist() == [np.inf, 7.0, np.inf]
    assert whole.source.tolist() == ["a", "model", "b"] and whole.fallback_share == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="exactly once"):
        combine(3, [(np.array([True, False, True]), part)])
