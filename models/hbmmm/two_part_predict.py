"""Expected GMV of scenario rows from a saved two-part fit: predict.py's rows, for incidence and amount together.

Given the data the parts are independent, and each part's predictor is taken as normal with predict.py's mean and sd:
E[p mu] = E p E mu, with E p by quadrature. The outcome is 0 with probability 1 - E p, else normal about mu with the
amount's noise, of which predictive_* are exact quantiles.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from models.hbmmm.predict import predict_scenario
from models.hbmmm.two_part import TwoPartFit
from models.hbmmm.two_part_incidence import expected_logistic


def predict_two_part(fit: TwoPartFit, scenario: pd.DataFrame) -> pd.DataFrame:
    """Columns and errors as predict_scenario has them, in money."""
    level = fit.config.interval_level
    reach = float(ndtri(0.5 + level / 2))
    odds, size = predict_scenario(fit.incidence, scenario), predict_scenario(fit.amount, scenario)
    odds_sd, size_sd = ((one["interval_upper"] - one["mean"]) / reach for one in (odds, size))
    p, curvature = expected_logistic(odds["mean"].to_numpy(), odds_sd.to_numpy() ** 2)
    square = p - curvature  # E p^2 = E p - E p (1 - p)
    mu = size["mean"].to_numpy()
    mean = p * mu
    sd = np.sqrt(np.maximum(square * (mu**2 + size_sd.to_numpy() ** 2) - mean**2, 0.0))
    spread = ((size["predictive_upper"] - size["mean"]) / reach).to_numpy()
    return pd.DataFrame(
        {
            "mean": mean,
            "interval_lower": mean - reach * sd,
            "interval_upper": mean + reach * sd,
            "predictive_lower": _quantile((1 - level) / 2, p, mu, spread),
            "predictive_upper": _quantile((1 + level) / 2, p, mu, spread),
        },
        index=scenario.index,
    )


def _quantile(q: float, p: np.ndarray, mu: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Quantile q of 0 with probability 1 - p, else N(mu, spread^2)."""
    below = p * ndtr(-mu / spread)
    with np.errstate(invalid="ignore"):
        negative = mu + spread * ndtri(q / p)
        positive = mu + spread * ndtri((q - (1.0 - p)) / p)
    return np.where(q < below, negative, np.where(q <= below + 1.0 - p, 0.0, positive))
