"""One shape for effect rows, whichever family estimates them (design section 5)."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

KPI = "gmv_net"


def effect_row(
    channel_id: str,
    estimand: str,
    exposure_distribution: str,
    unit: str,
    *,
    method: str,
    interval_level: float,
    model_name: str | None = None,
    horizon: str = "immediate",
    is_primary: bool = False,
    not_identified_reason: str | None = None,
    kpi: str = KPI,
    **numbers: float,
) -> dict[str, object]:
    """A row of `channel_effects`; numbers that are not given are NaN. The model is named after the method by default.

    horizon: "immediate" (the period's own GMV) or "total" (and that of all later panel periods).
    Versions, as_of_date and is_identified are added by whoever publishes.
    """
    return {
        "channel_id": channel_id,
        "estimand": estimand,
        "method": method,
        "model_name": model_name or method,
        "kpi": kpi,
        "horizon": horizon,
        "exposure_distribution": exposure_distribution,
        "mean": np.nan,
        "standard_deviation": np.nan,
        "interval_lower": np.nan,
        "interval_upper": np.nan,
        "interval_level": interval_level,
        "probability_positive": np.nan,
        "unit": unit,
        "is_primary": is_primary,
        "not_identified_reason": not_identified_reason,
        "r_hat": np.nan,
        "ess": np.nan,
        "k_hat": np.nan,
        "error_ratio": np.nan,
        **numbers,
    }


def normal_numbers(estimate: float, standard_error: float, interval_level: float) -> dict[str, float]:
    """The numbers of a row whose estimate has a normal error; NaN in, NaN out."""
    reach = float(ndtri(0.5 + interval_level / 2)) * standard_error
    return {
        "mean": estimate,
        "standard_deviation": standard_error,
        "interval_lower": estimate - reach,
        "interval_upper": estimate + reach,
        "probability_positive": float(ndtr(estimate / standard_error)) if standard_error > 0 else np.nan,
    }
