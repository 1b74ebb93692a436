"""Multiple imputation: observed values stay, draws differ, and what is known of a relation is kept."""

import numpy as np
import pandas as pd
import pytest

from models.errors import PanelError
from models.imputation import impute_characteristics


def make_frame(count: int = 600, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Complete frame, the same with gaps (missing more often at high predictors), predictors."""
    rng = np.random.default_rng(seed)
    predictor = rng.normal(size=count)
    whole = pd.DataFrame(
        {
            "income": 50 + 10 * predictor + rng.normal(0, 5, count),
            "plan": np.where(rng.random(count) < 1 / (1 + np.exp(-2 * predictor)), "plus", "basic").astype(
                object
            ),
        }
    )
    gappy = whole.copy()
    hidden = rng.random(count) < 1 / (1 + np.exp(-predictor))
    gappy.loc[hidden, "income"] = np.nan
    gappy["plan"] = np.where(hidden, None, whole["plan"])
    return whole, gappy, predictor[:, None]


def impute(frame, predictors, count=6, seed=1):
    return impute_characteristics(
        frame, predictors, imputations_count=count, rounds=5, rng=np.random.default_rng(seed)
    )


def test_observed_values_stay_and_gaps_are_filled():
    _, gappy, predictors = make_frame()
    for one in impute(gappy, predictors):
        seen = gappy["income"].notna()
        assert one["income"][seen].equals(gappy["income"][seen])
        assert (one["plan"][seen] == gappy["plan"][seen]).all()
        assert not one.isna().to_numpy().any()
        assert set(one["plan"]) <= {"basic", "plus"}
        assert one["income"].between(gappy["income"].min(), gappy["income"].max()).all()


def test_completed_data_sets_differ_and_a_seed_repeats_them():
    _, gappy, predictors = make_frame()
    first, second = impute(gappy, predictors, 2)
    assert not first["income"].equals(second["income"])
    assert not first["plan"].equals(second["plan"])
    pd.testing.assert_frame_equal(first, impute(gappy, predictors, 2)[0])


def test_means_are_recovered_where_the_observed_ones_mislead():
    """Missing at random given the predictor: complete cases are biased, imputations are not."""
    whole, gappy, predictors = make_frame(2000)
    completed = impute(gappy, predictors)
    income = np.mean([one["income"].mean() for one in completed])
    share = np.mean([(one["plan"] == "plus").mean() for one in completed])
    assert abs(gappy["income"].mean() - whole["income"].mean()) > 3.0
    assert abs(income - whole["income"].mean()) < 0.7
    assert abs(gappy["plan"].dropna().eq("plus").mean() - whole["plan"].eq("plus").mean()) > 0.1
    assert abs(share - whole["plan"].eq("plus").mean()) < 0.035


def test_spread_is_drawn_not_smoothed():
    """Negative control of a best-guess imputation: residual spread stays."""
    _, gappy, predictors = make_frame(2000)
    one = impute(gappy, predictors, 2)[0]
    hidden = gappy["income"].isna()
    slope = np.polyfit(predictors[hidden, 0], one["income"][hidden], 1)
    residual = one["income"][hidden] - np.polyval(slope, predictors[hidden, 0])
    assert residual.std() == pytest.approx(5.0, rel=0.15)


def test_nothing_missing_gives_one_copy():
    whole, _, predictors = make_frame(50)
    (one,) = impute(whole, predictors)
    pd.testing.assert_frame_equal(one, whole)


def test_predictors_with_gaps_are_refused():
    _, gappy, predictors = make_frame(50)
    predictors[3] = np.nan
    with pytest.raises(PanelError, match="finite predictor row per consumer"):
        impute(gappy, predictors)
