"""Rank-normalised R-hat and effective sample sizes (Vehtari et al. 2021), vectorised over parameters.

Written out because ArviZ's per-parameter calls take seconds for 200 parameters in 5 imputations; tests hold these
to ArviZ's values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft, special, stats


def split_chains(draws: np.ndarray) -> np.ndarray:
    """(chain, draw, d) -> (2 chain, draw // 2, d): halves of chains as chains; an odd draw in the middle is left."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]], axis=0)


def rank_normalise(draws: np.ndarray) -> np.ndarray:
    """Normal scores of the ranks over all chains, per parameter."""
    flat = draws.reshape(-1, draws.shape[-1])
    ranks = stats.rankdata(flat, axis=0)
    return special.ndtri((ranks - 0.375) / (len(flat) + 0.25)).reshape(draws.shape)


def r_hat(draws: np.ndarray) -> np.ndarray:
    """Larger of bulk and tail (folded) split R-hat, (d,), of draws (imputation, chain, draw, d).

    Chains are compared within a completed data set only; variances between and within chains are averaged over
    the data sets before the ratio is taken, so that one data set whose chains disagree still shows.
    """
    bulk, tail = [], []
    for one in draws:
        split = split_chains(one)
        bulk.append(_variances(rank_normalise(split)))
        tail.append(_variances(rank_normalise(np.abs(split - np.median(split, axis=(0, 1))))))
    n = draws.shape[2] // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [between / within for between, within in (np.mean(bulk, axis=0), np.mean(tail, axis=0))]
    return np.sqrt((np.maximum(*ratios) + n - 1) / n)


def ess_bulk(draws: np.ndarray) -> np.ndarray:
    """Bulk effective sample size, (d,)."""
    return _ess(rank_normalise(split_chains(draws)))


def ess_tail(draws: np.ndarray) -> np.ndarray:
    """Smaller of the effective sample sizes of the 5 % and 95 % quantile indicators, (d,)."""
    split = split_chains(draws)
    low, high = np.quantile(split, [0.05, 0.95], axis=(0, 1))
    return np.minimum(_ess((split <= low).astype(float)), _ess((split <= high).astype(float)))


def resample_size(kish_sizes: Sequence[float], draws_count: int) -> float:
    """Effective size of n draws resampled from each of several importance samples: sum of 1 / (1 / k + 1 / n).

    kish_sizes: (sum w)^2 / sum w^2 of each sample's weights; nan where one is.
    """
    return float(np.sum([1.0 / (1.0 / k + 1.0 / draws_count) for k in kish_sizes]))


def e_bfmi(energy: np.ndarray) -> float:
    """Least E-BFMI of the chains of energies (chain, draw): mean squared step over variance (Betancourt 2016)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float((np.mean(np.diff(energy, axis=1) ** 2, axis=1) / energy.var(axis=1, ddof=1)).min())


def _variances(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance between chains (times their length) and within chains, each (d,)."""
    between = draws.shape[1] * draws.mean(axis=1).var(axis=0, ddof=1)
    return between, draws.var(axis=1, ddof=1).mean(axis=0)


def _ess(draws: np.ndarray) -> np.ndarray:
    """Geyer's initial monotone sequence over (chain, draw, d)."""
    chains, n, d = draws.shape
    if n < 4:
        return np.full(d, np.nan)
    centred = draws - draws.mean(axis=1, keepdims=True)
    size = fft.next_fast_len(2 * n)
    spectrum = fft.rfft(centred, size, axis=1)
    covariance = fft.irfft(np.abs(spectrum) ** 2, size, axis=1)[:, :n].real / n
    mean_var = covariance[:, 0].mean(axis=0) * n / (n - 1.0)
    var_plus = mean_var * (n - 1.0) / n + draws.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1.0 - (mean_var - covariance.mean(axis=0)) / var_plus  # (n, d)
    rho[0] = 1.0
    pairs = rho[: n - n % 2].reshape(-1, 2, d).sum(axis=1)  # Geyer pairs, (n/2, d)
    positive = np.cumprod(pairs > 0, axis=0).astype(bool)
    positive[(n - 1) // 2 - 1 :] = False  # the last pairs have too few terms to judge
    monotone = np.minimum.accumulate(pairs, axis=0)
    tau = -1.0 + 2.0 * np.where(positive, monotone, 0.0).sum(axis=0)
    first_out = np.argmin(positive, axis=0)
    tail = rho[np.minimum(2 * first_out, n - 1), np.arange(d)]  # the even term after the last positive pair
    tau = np.maximum(tau + np.maximum(tail, 0.0), 1.0 / np.log10(chains * n))
    return np.where(np.isfinite(mean_var) & (mean_var > 0), chains * n / tau, np.nan)
