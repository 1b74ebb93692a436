"""Predictors side by side on the same held-out rows (Ni et al. 2023, Table 7), as a tidy table.

Metrics by model and split: rmse, mae, r_squared, crps, log_score, interval_coverage, interval_width (models/evaluation/
metrics.py), rows_count, fallback_share (rows that the model proper could not predict), and
    rmse_cut               1 - rmse / rmse of the reference (pooled OLS): a share, 0.3 is "30 % below OLS"
    oracle_rmse_cut        the same of the oracle: what no model can beat but by chance, at this noise
    rmse_cut_to_oracle     oracle_rmse_cut - rmse_cut
    rmse_over_oracle       rmse / rmse of the oracle - 1
A cut depends on the noise of the world as much as on the model: quote it with the oracle's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from models.baselines.base import Prediction, Predictor
from models.evaluation import metrics
from models.evaluation.splits import PanelSplit
from models.panel import ConsumerPanel

COLUMNS = ["model_name", "split", "metric", "value"]
Predictors = Mapping[str, Predictor]
Splitter = Callable[[ConsumerPanel], Sequence[PanelSplit]]


def compare_predictors(
    splits: Sequence[PanelSplit],
    predictors: Predictors,
    *,
    reference: str = "pooled_ols",
    oracle: str | None = None,
    interval_level: float = 0.95,
) -> pd.DataFrame:
    """COLUMNS, one row per model, split and metric. Predictors see held-out rows without their outcome.

    reference, oracle: names among `predictors`; the rows of the oracle's cut are there only if it is named.
    Raises ValueError for names that are not among the predictors, for splits of one name and, naming the model, where
    a prediction has another length than the rows.
    """
    for role, name in (("reference", reference), ("oracle", oracle)):
        if name is not None and name not in predictors:
            raise ValueError(f"the {role} {name!r} is not among the predictors {sorted(predictors)}.")
    names = [split.name for split in splits]
    if len(set(names)) != len(names):
        raise ValueError(f"two splits have one name: {names}; their rows could not be told apart.")
    parts = []
    for split in splits:
        hidden = split.test.without_outcome()
        scores = {}
        for name, predictor in predictors.items():
            prediction = predictor.fit(split.train).predict(hidden)
            if len(prediction.mean) != len(hidden):
                raise ValueError(f"{name} gave {len(prediction.mean)} predictions for {len(hidden)} rows.")
            scores[name] = score_prediction(split.test.outcome, prediction, interval_level)
        table = pd.DataFrame(scores).T
        table["rmse_cut"] = 1.0 - table["rmse"] / table.loc[reference, "rmse"]
        if oracle is not None:
            table["oracle_rmse_cut"] = table.loc[oracle, "rmse_cut"]
            table["rmse_cut_to_oracle"] = table["oracle_rmse_cut"] - table["rmse_cut"]
            table["rmse_over_oracle"] = table["rmse"] / table.loc[oracle, "rmse"] - 1.0
        tidy = table.rename_axis("model_name").reset_index().melt("model_name", var_name="metric")
        parts.append(tidy.assign(split=split.name)[COLUMNS])
    return pd.concat(parts, ignore_index=True)


def score_prediction(
    outcome: np.ndarray, prediction: Prediction, interval_level: float = 0.95
) -> dict[str, float]:
    """Metrics of one prediction by name; the log score is nan where a predictive sd is 0."""
    mean, sd, freedom = prediction.mean, prediction.sd, prediction.degrees_of_freedom
    lower, upper = metrics.interval(mean, sd, interval_level, freedom)
    return {
        "rmse": metrics.rmse(outcome, mean),
        "mae": metrics.mae(outcome, mean),
        "r_squared": metrics.r_squared(outcome, mean),
        "crps": float(metrics.crps_student_t(outcome, mean, sd, freedom).mean()),
        "log_score": metrics.log_score(outcome, mean, sd, freedom) if (sd > 0).all() else float("nan"),
        "interval_coverage": metrics.interval_coverage(outcome, lower, upper),
        "interval_width": metrics.interval_width(lower, upper),
        "rows_count": float(len(outcome)),
        "fallback_share": prediction.fallback_share,
    }


def wide_table(comparison: pd.DataFrame) -> pd.DataFrame:
    """The tidy table wide: model_name by metric, averaged over splits, best RMSE first."""
    wide = comparison.pivot_table(index="model_name", columns="metric", values="value", sort=False)
    return wide.sort_values("rmse").rename_axis(columns=None)
