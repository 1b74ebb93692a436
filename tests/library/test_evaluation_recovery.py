"""The recovery table by hand, and worlds scored the same in one process as alone."""

import pandas as pd
import pytest

from models.evaluation.recovery import recovery_table, score_world, score_worlds
from models.simulate.consumer_config import ConsumerWorldConfig

CONFIG = ConsumerWorldConfig(consumers_count=60, markets_count=2, periods_count=8)


def test_recovery_table_by_hand():
    scores = pd.DataFrame(
        {
            "world": "w",
            "method": "m",
            "channel_id": "tv",
            "estimand": "slope",
            "exposure_distribution": "panel_rows",
            "mean": [1.0, 2.0, 3.0, 6.0],
            "standard_deviation": [1.0, 1.0, 1.0, 1.0],
            "interval_lower": [-1.0, 0.0, 1.0, 4.0],
            "interval_upper": [3.0, 4.0, 5.0, 8.0],
            "truth": [2.0, 2.0, 2.0, 2.0],
            "seed": range(4),
        }
    )
    row = recovery_table(scores).iloc[0]
    assert row["worlds"] == 4
    assert row["bias"] == 1.0
    assert row["coverage"] == 0.75
    assert row["mean_width"] == 4.0
    error_sd = (((-1 - 1) ** 2 + (0 - 1) ** 2 + (1 - 1) ** 2 + (4 - 1) ** 2) / 3) ** 0.5
    assert row["monte_carlo_error"] == pytest.approx(error_sd / 2)
    assert row["bias_z"] == pytest.approx(2 / error_sd)
    assert row["error_ratio"] == pytest.approx(error_sd)


def test_scores_lay_estimates_beside_truth_and_name_their_world():
    methods = {"within_consumer": {}, "pooled_ols": {}}
    scores = score_worlds({"a": (CONFIG, [1]), "b": (CONFIG, [1, 2])}, methods)
    assert scores.groupby("world")["seed"].nunique().to_dict() == {"a": 1, "b": 2}
    assert scores["truth"].notna().all()
    alone = score_world(CONFIG, 2, methods)
    part = scores[(scores["world"] == "b") & (scores["seed"] == 2)].drop(columns="world")
    pd.testing.assert_frame_equal(part.reset_index(drop=True), alone)
    assert (scores.loc[scores["channel_id"] == "retargeting", "truth"] == 0).all()
