"""Simulation-based calibration: ranks of the truth among posterior draws, and whether they are uniform.

Source: Talts et al. 2018 (ranks); Säilynoja, Bürkner and Vehtari 2022 (simultaneous bands of the ECDF).
"""

from __future__ import annotations

import numpy as np
from scipy import stats

POINTS = 20  # at which the ECDF is compared with its binomial law


def truth_ranks(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Number of draws (S, d) below the truth (d,), 0 to S."""
    return (draws < truth).sum(axis=0)


def uniformity_p_values(
    ranks: np.ndarray, draws_count: int, rng: np.random.Generator, simulations: int = 20_000
) -> np.ndarray:
    """Probability, were they uniform on 0..draws_count, of ECDFs as far out as those of ranks (replicates, d); (d,).

    The statistic is the smallest two-sided binomial tail over POINTS points of the ECDF, so that the acceptance region
    is a simultaneous band; its law is simulated for this number of replicates.
    """
    replicates = len(ranks)
    simulated = rng.integers(0, draws_count + 1, (simulations, replicates))
    null = np.sort(_smallest_tail(simulated.T, draws_count))
    found = _smallest_tail(ranks, draws_count)
    return (1.0 + np.searchsorted(null, found, side="right")) / (1.0 + simulations)


def _smallest_tail(ranks: np.ndarray, draws_count: int) -> np.ndarray:
    replicates = len(ranks)
    points = np.unique(np.linspace(0, draws_count, POINTS + 2).round().astype(int)[1:-1])
    counts = np.stack([(ranks <= p).sum(axis=0) for p in points])
    share = (points + 1.0) / (draws_count + 1.0)
    table = np.arange(replicates + 1)[None]
    lower = stats.binom.cdf(table, replicates, share[:, None])
    upper = stats.binom.sf(table - 1, replicates, share[:, None])
    tails = np.minimum(lower, upper)
    return np.take_along_axis(tails, counts, axis=1).min(axis=0)
