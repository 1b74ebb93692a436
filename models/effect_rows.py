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
    estimate: float,
    standard_error: float,
    *,
    method: str,
    interval_level: float,
    not_identified_reason: str | None = None,
) -> dict[str, object]:
    """A row of `channel_effects` from an estimate with a normal error; NaN in, NaN out.

    Versions, as_of_date and is_identified are added by whoever publishes.
    """
    reach = float(ndtri(0.5 + interval_level / 2)) * standard_error
    return {
        "channel_id": channel_id,
        "estimand": estimand,
        "method": method,
        "model_name": method,
        "kpi": KPI,
        "horizon": "immediate",
        "exposure_distribution": exposure_distribution,
        "mean": estimate,
        "standard_deviation": standard_error,
        "interval_lower": estimate - reach,
        "interval_upper": estimate + reach,
        "interval_level": interval_level,
        "probability_positive": float(ndtr(estimate / standard_error)) if standard_error > 0 else np.nan,
        "unit": unit,
        "is_primary": False,
        "not_identified_reason": not_identified_reason,
        "r_hat": np.nan,
        "ess": np.nan,
        "k_hat": np.nan,
        "error_ratio": np.nan,
    }
