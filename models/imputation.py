"""Multiple imputation of consumer characteristics, missing at random given the predictors.

Numeric columns: scikit-learn's IterativeImputer (chained Bayesian ridge, sample_posterior=True), so each completed
data set is a draw, not a best guess. Categorical columns follow one after the other: multinomial logistic regression
on a bootstrap sample of the consumers in whom the level is known, on the completed numeric columns, the predictors
and the categories completed so far; the level is drawn from the predicted probabilities. The bootstrap carries the
uncertainty of the regression. Predictors must be complete, and should hold the outcome and the exposures: leaving
the outcome out of an imputation model biases what the outcome model then finds.

What it cannot do: if people hide a value because of the value itself (missing not at random), the draws are wrong,
and nothing in the data says so.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.errors import PanelError

_MAX_LEVELS = 50


def impute_characteristics(
    characteristics: pd.DataFrame,
    predictors: np.ndarray,
    *,
    imputations_count: int,
    rounds: int,
    rng: np.random.Generator,
) -> list[pd.DataFrame]:
    """Completed copies of `characteristics` (numeric columns float with NaN, others text with None).

    predictors: (N, q), finite. Returns one copy when nothing is missing, `imputations_count` otherwise. Observed
    values are never changed; imputed numbers stay within the observed range.
    """
    predictors = np.asarray(predictors, dtype=float)
    if predictors.shape[0] != len(characteristics) or not np.isfinite(predictors).all():
        raise PanelError(
            f"imputation needs one finite predictor row per consumer, got shape {predictors.shape} for "
            f"{len(characteristics)} consumers; complete the predictors first."
        )
    if not characteristics.isna().to_numpy().any():
        return [characteristics.copy()]
    scale = predictors.std(axis=0)
    standard = (predictors - predictors.mean(axis=0))[:, scale > 0] / scale[scale > 0]
    return [_complete_once(characteristics, standard, rounds, rng) for _ in range(imputations_count)]


def _complete_once(
    frame: pd.DataFrame, predictors: np.ndarray, rounds: int, rng: np.random.Generator
) -> pd.DataFrame:
    out = frame.copy()
    numeric = [c for c in frame if pd.api.types.is_numeric_dtype(frame[c].dtype)]
    values = frame[numeric].to_numpy(dtype=float)
    if np.isnan(values).any():
        values = _draw_numeric(values, predictors, rounds, rng)
        out[numeric] = values
    spread = values.std(axis=0)
    known = np.column_stack([predictors, (values - values.mean(axis=0))[:, spread > 0] / spread[spread > 0]])
    for name in [c for c in frame if c not in numeric]:
        column = out[name].to_numpy(dtype=object).copy()
        missing = frame[name].isna().to_numpy()
        if missing.any():
            column[missing] = _draw_levels(column[~missing], known[~missing], known[missing], rng)
            out[name] = pd.Series(column, index=out.index, dtype=object)
        levels, codes = np.unique(column.astype(str), return_inverse=True)
        if 1 < len(levels) <= _MAX_LEVELS:
            dummies = (codes[:, None] == np.arange(1, len(levels))[None]).astype(float)
            known = np.column_stack([known, dummies])
    return out


def _draw_numeric(
    values: np.ndarray, predictors: np.ndarray, rounds: int, rng: np.random.Generator
) -> np.ndarray:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    q = predictors.shape[1]
    low = np.concatenate([np.full(q, -np.inf), np.nanmin(values, axis=0)])
    high = np.concatenate([np.full(q, np.inf), np.nanmax(values, axis=0)])
    same = low >= high  # a constant column: nothing to draw, and the truncated normal needs room
    imputer = IterativeImputer(
        sample_posterior=True,
        max_iter=rounds,
        min_value=np.where(same, low - 1e-9, low),
        max_value=np.where(same, high + 1e-9, high),
        random_state=int(rng.integers(2**31 - 1)),
    )
    drawn = imputer.fit_transform(np.column_stack([predictors, values]))[:, q:]
    return np.where(np.isnan(values), drawn, values)


def _draw_levels(
    observed: np.ndarray, known: np.ndarray, unknown: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Levels for the rows `unknown` given the observed levels of the rows `known`."""
    from sklearn.linear_model import LogisticRegression

    pick = rng.integers(len(observed), size=len(observed))
    levels = np.unique(observed[pick].astype(str))
    if len(levels) < 2:
        return observed[rng.integers(len(observed), size=len(unknown))]
    model = LogisticRegression(max_iter=2000, C=1.0).fit(known[pick], observed[pick].astype(str))
    cumulative = np.cumsum(model.predict_proba(unknown), axis=1)
    cumulative[:, -1] = 1.0
    choice = (rng.random((len(unknown), 1)) > cumulative).sum(axis=1)
    return model.classes_[choice].astype(object)
