"""How far exposed and unexposed consumer-periods are comparable, from propensity scores and weights."""

from __future__ import annotations

import numpy as np

from models.effects.doubly_robust import ExposureScores
from models.effects.propensity import PropensityFit


def overlap_statistics(fit: PropensityFit) -> dict[str, float | str | int]:
    """Overlap of one channel.

    Keys: channel_id, rows_count, treated_share, clipped_share (rows whose raw score was outside the clipping
    bounds), propensity_min, propensity_max (raw), ess_share_treated, ess_share_untreated and their lesser one,
    ess_share. The effective sample size of an arm is (sum w)^2 / sum w^2 with w = 1 / P(own arm), clipped; a
    stabilising constant does not change it.
    """
    return {"channel_id": fit.channel_id, **_arms(fit.treatment, fit.propensity_raw, fit.propensity)}


def score_overlap(channel_id: str, scores: ExposureScores) -> dict[str, float | str | int]:
    """The same of cross-fitted scores, over the rows that trimming left, and trimmed_share of all rows."""
    arms = _arms(scores.treatment, scores.propensity_raw, scores.propensity)
    return {"channel_id": channel_id, **arms, "trimmed_share": scores.trimmed_share}


def weight_statistics(weights: np.ndarray, weights_raw: np.ndarray) -> dict[str, float | int]:
    """Of stabilised weights of a dose: rows_count, clipped_share, weight_mean (1 if the model is right), weight_max
    (all raw but the last), and ess_share of the weights that are used."""
    return {
        "rows_count": len(weights),
        "clipped_share": float((weights != weights_raw).mean()),
        "weight_mean": float(weights_raw.mean()),
        "weight_max": float(weights_raw.max()),
        "ess_share": _ess_share(weights),
    }


def _arms(treatment: np.ndarray, raw: np.ndarray, clipped: np.ndarray) -> dict[str, float | int]:
    weights = np.where(treatment, 1 / clipped, 1 / (1 - clipped))
    treated, untreated = (_ess_share(weights[arm]) for arm in (treatment, ~treatment))
    return {
        "rows_count": len(treatment),
        "treated_share": float(treatment.mean()),
        "clipped_share": float((clipped != raw).mean()),
        "propensity_min": float(raw.min()),
        "propensity_max": float(raw.max()),
        "ess_share_treated": treated,
        "ess_share_untreated": untreated,
        "ess_share": min(treated, untreated),
    }


def _ess_share(weights: np.ndarray) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))
