"""Series cut into lag windows, and ranks turned into normal scores."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata


def lag_windows(values: np.ndarray, lags_count: int) -> np.ndarray:
    """(..., T, D) -> (..., T - K, D, K): for periods K, K + 1, ... the values 1, ..., K periods before.

    Raises
    ------
    ValueError : lags_count is not between 1 and T - 1.
    """
    periods = values.shape[-2]
    if not 1 <= lags_count < periods:
        raise ValueError(
            f"{lags_count} lags of {periods} periods were asked for; 1 to {periods - 1} leave a period to explain."
        )
    return np.stack([values[..., lags_count - k : periods - k, :] for k in range(1, lags_count + 1)], axis=-1)


def normal_scores(values: np.ndarray, axis: int) -> np.ndarray:
    """Ranks along an axis as quantiles of the standard normal, ties at their mean rank: any rising curve is undone."""
    return ndtri((rankdata(values, axis=axis) - 0.5) / values.shape[axis])
