"""How far exposed and unexposed consumer-periods are comparable, from propensity scores."""

from __future__ import annotations

import numpy as np

from models.effects.propensity import PropensityFit


def overlap_statistics(fit: PropensityFit) -> dict[str, float | str | int]:
    """Overlap of one channel.

    Keys: channel_id, rows_count, treated_share, clipped_share (rows whose raw score was outside the clipping
    bounds), propensity_min, propensity_max (raw), ess_share_treated, ess_share_untreated and their lesser one,
    ess_share. The effective sample size of an arm is (sum w)^2 / sum w^2 with w = 1 / P(own arm), clipped.
    """
    clipped = fit.propensity != fit.propensity_raw
    weights = np.where(fit.treatment, 1 / fit.propensity, 1 / (1 - fit.propensity))
    treated, untreated = (_ess_share(weights[arm]) for arm in (fit.treatment, ~fit.treatment))
    return {
        "channel_id": fit.channel_id,
        "rows_count": len(fit.treatment),
        "treated_share": float(fit.treatment.mean()),
        "clipped_share": float(clipped.mean()),
        "propensity_min": float(fit.propensity_raw.min()),
        "propensity_max": float(fit.propensity_raw.max()),
        "ess_share_treated": treated,
        "ess_share_untreated": untreated,
        "ess_share": min(treated, untreated),
    }


def _ess_share(weights: np.ndarray) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))
