"""Scores of estimated graphs against known ones: ranking, decisions, calibration, structures, lags and signs.

Edges are arrays [shop, source, target]; only pairs that `allowed` holds are scored, never a node with itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import adjusted_rand_score

BINS_COUNT = 10


@dataclass(frozen=True, slots=True)
class GraphScores:
    """Figures of one panel. NaN where a figure cannot be had.

    auroc_pooled: over all pairs of all shops at once. auroc_per_shop: mean over the shops that have edges and gaps.
    accuracy: of the decisions (probability above one half). all_absent: accuracy of calling every edge absent.
    brier, calibration_error: of probabilities; the latter is the mean distance between stated and observed frequency
        over BINS_COUNT bins of equal width, weighted by pairs (ECE).
    """

    auroc_pooled: float
    auroc_per_shop: float
    accuracy: float
    all_absent: float
    brier: float
    calibration_error: float


def score_probabilities(probability: np.ndarray, graph: np.ndarray, allowed: np.ndarray) -> GraphScores:
    """probability (N, D, D) in [0, 1], graph (N, D, D) bool, allowed (D, D) bool."""
    stated, truth = _pairs(probability, allowed), _pairs(graph, allowed)
    table = reliability(probability, graph, allowed)
    gaps = (table["stated"] - table["observed"]).abs()
    return GraphScores(
        *_aurocs(stated, truth),
        accuracy=float(((stated > 0.5) == truth).mean()),
        all_absent=float(1 - truth.mean()),
        brier=float(((stated - truth) ** 2).mean()),
        calibration_error=float((gaps * table["pairs_count"]).sum() / table["pairs_count"].sum()),
    )


def score_ranking(
    score: np.ndarray, graph: np.ndarray, allowed: np.ndarray, present: np.ndarray | None = None
) -> GraphScores:
    """score (N, D, D), higher for likelier edges, on no particular scale; present (N, D, D) bool, its own decisions."""
    truth = _pairs(graph, allowed)
    accuracy = np.nan if present is None else float((_pairs(present, allowed) == truth).mean())
    return GraphScores(
        *_aurocs(_pairs(score, allowed), truth),
        accuracy,
        float(1 - truth.mean()),
        brier=np.nan,
        calibration_error=np.nan,
    )


def reliability(
    probability: np.ndarray, graph: np.ndarray, allowed: np.ndarray, bins_count: int = BINS_COUNT
) -> pd.DataFrame:
    """One row per bin with pairs: its limits, stated (mean probability), observed (share of edges), pairs_count."""
    stated, truth = _pairs(probability, allowed).ravel(), _pairs(graph, allowed).ravel()
    place = np.minimum((stated * bins_count).astype(int), bins_count - 1)
    counts = np.bincount(place, minlength=bins_count)
    filled = counts > 0
    edges = np.arange(bins_count + 1) / bins_count
    return pd.DataFrame(
        {
            "lowest": edges[:-1][filled],
            "highest": edges[1:][filled],
            "stated": np.bincount(place, stated, bins_count)[filled] / counts[filled],
            "observed": np.bincount(place, truth, bins_count)[filled] / counts[filled],
            "pairs_count": counts[filled],
        }
    )


def structure_recovery(structure_probability: np.ndarray, structure: np.ndarray) -> dict[str, float]:
    """structure_probability (N, R), structure (N,) int: structures found and true, adjusted Rand index of the shops."""
    likeliest = structure_probability.argmax(axis=1)
    return {
        "structures_found": float(len(np.unique(likeliest))),
        "structures_true": float(len(np.unique(structure))),
        "adjusted_rand_index": float(adjusted_rand_score(structure, likeliest)),
    }


def lag_and_sign_recovery(
    lag: np.ndarray, sign: np.ndarray, true_lag: np.ndarray, true_sign: np.ndarray, graph: np.ndarray
) -> dict[str, float]:
    """Over true edges that have an estimate, all (N, D, D).

    lag_error: mean absolute error. lag_error_of_mean: that of the same lag for all. sign_agreement: share of signs.
    """
    edges = graph & np.isfinite(lag) & np.isfinite(sign)
    if not edges.any():
        return {"lag_error": np.nan, "lag_error_of_mean": np.nan, "sign_agreement": np.nan}
    return {
        "lag_error": float(np.abs(lag - true_lag)[edges].mean()),
        "lag_error_of_mean": float(np.abs(true_lag[edges] - true_lag[edges].mean()).mean()),
        "sign_agreement": float((np.sign(sign) == true_sign)[edges].mean()),
    }


def _pairs(array: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """(N, P) of the allowed pairs."""
    if array.shape[1:] != allowed.shape:
        raise ValueError(
            f"Edges of shape {array.shape} were given for {allowed.shape} pairs; (N, D, D) belongs there."
        )
    return array[:, allowed]


def _aurocs(score: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    per_shop = _auroc(score, truth)
    mixed = np.isfinite(per_shop)
    return float(_auroc(score.reshape(1, -1), truth.reshape(1, -1))[0]), float(
        per_shop[mixed].mean() if mixed.any() else np.nan
    )


def _auroc(score: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Row by row, (N, P) -> (N,): share of edges above gaps, ties half; NaN without either."""
    edges = truth.sum(axis=1)
    ranks = np.where(truth, rankdata(score, axis=1), 0.0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (ranks - edges * (edges + 1) / 2) / (edges * (truth.shape[1] - edges))
