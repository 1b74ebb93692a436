"""The oracle of a simulated world: it knows the expectation of every row and errs by the noise alone.

Its RMSE is the noise floor of the held-out rows; no estimate can be below it but by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.baselines.base import Prediction, Rows
from models.errors import PanelError
from models.panel import ConsumerPanel


@dataclass(frozen=True, eq=False)
class Oracle:
    """Truth by row: consumer_ids (M,), period_starts (M,), expected (M,) in the outcome's unit; noise_sd, a number or
    (M,), the true sd of the outcome about it."""

    consumer_ids: np.ndarray
    period_starts: np.ndarray
    expected: np.ndarray
    noise_sd: float | np.ndarray

    @classmethod
    def of_panel(cls, panel: ConsumerPanel, expected: np.ndarray, noise_sd: float | np.ndarray) -> Oracle:
        """Truth in the order of the panel's rows."""
        rows = Rows.of_panel(panel)
        return cls(rows.consumer_ids, rows.period_starts, np.asarray(expected, dtype=float), noise_sd)

    def fit(self, train: ConsumerPanel | Rows) -> Oracle:
        """Nothing to learn."""
        return self

    def predict(self, rows: Rows) -> Prediction:
        """Normal(expected, noise_sd); raises PanelError for rows whose truth was not given."""
        truth = pd.MultiIndex.from_arrays([self.consumer_ids, _stamps(self.period_starts)])
        wanted = pd.MultiIndex.from_arrays([rows.consumer_ids, _stamps(rows.period_starts)])
        position = truth.get_indexer(wanted)
        if (position < 0).any():
            raise PanelError(
                f"the oracle lacks the truth of {int((position < 0).sum())} of {len(rows)} rows, the first is "
                f"{wanted[np.flatnonzero(position < 0)[0]]}; give it every row of the simulated panel."
            )
        sd = np.broadcast_to(np.asarray(self.noise_sd, dtype=float), self.expected.shape)
        return Prediction(self.expected[position], sd[position])


def _stamps(days: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(days.astype("datetime64[s]"))
