"""What a market's analyst would try first: least squares of the KPI on spend with effects of markets and weeks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from models.response.market_panel import MarketPanel


def fixed_effects_roi(panel: MarketPanel, interval_level: float = 0.9) -> pd.DataFrame:
    """ROI of each channel: the coefficient of its spend in the same week, both over the market's mean KPI.

    Balanced panels with known spend; markets and weeks are demeaned out (one market: a line and waves of a year and
    half a year), controls are columns, errors are clustered by market (one market: of constant variance).
    Returns channel_id, mean, interval_lower, interval_upper.
    """
    scale = np.nanmean(panel.kpi, axis=1)[:, None]
    outcome = panel.kpi / scale
    columns = [panel.spend[..., c] / scale for c in range(len(panel.channel_ids))]
    columns += [panel.controls[..., q] for q in range(len(panel.control_names))]
    if panel.is_national:
        time = np.arange(outcome.shape[1])
        waves = [f(2 * np.pi * n * time / 52.0) for n in (1, 2) for f in (np.cos, np.sin)]
        columns += [column[None] for column in (np.ones(len(time)), time / len(time), *waves)]
        design, residual = np.stack(columns, axis=-1), outcome
    else:
        design = np.stack([_within(column) for column in columns], axis=-1)
        residual = _within(outcome)
    flat, target = design.reshape(-1, design.shape[-1]), residual.ravel()
    inverse = np.linalg.inv(flat.T @ flat)
    found = inverse @ (flat.T @ target)
    left = (target - flat @ found).reshape(outcome.shape)
    if panel.is_national:
        covariance = inverse * (left**2).sum() / (left.size - len(found))
    else:
        scores = np.einsum("jt,jtk->jk", left, design)
        covariance = inverse @ (scores.T @ scores) @ inverse * len(scores) / (len(scores) - 1)
    half = norm.ppf(0.5 + interval_level / 2) * np.sqrt(np.diag(covariance))
    count = len(panel.channel_ids)
    return pd.DataFrame(
        {
            "channel_id": panel.channel_ids,
            "mean": found[:count],
            "interval_lower": (found - half)[:count],
            "interval_upper": (found + half)[:count],
        }
    )


def _within(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
