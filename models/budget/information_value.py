"""What a test is worth before it is run: the decision after it against the decision without it (EVSI).

With gains g_kd of decisions d in posterior draw k, and an estimate y ~ N(signal_k, se^2),

    value = E_y [max_d E(g_d | y)] - max_d E(g_d) = int max_d (1/K) sum_k N(y; signal_k, se) g_kd dy - max_d mean_k g_kd

Draws are reweighted by the exact likelihood of y, and y, one number, is integrated on a grid: nothing is simulated or
regressed. What is approximate is that K draws stand for the posterior. The same draws choose and judge in the sum
above, which flatters; `gain` lets one half of them choose and the other judge, both ways, so that chance in the draws
is not taken for information. Where a test is so precise that few draws carry weight, a larger standard error
stands in: a test with noise added is worth no more, so that the value is understated, and it says so.
(Preposterior analysis: Raiffa and Schlaifer 1961; importance-weighted EVSI: Menzies 2016.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_DRAWS = 60.0  # effective draws behind a reweighted mean, on average over outcomes
STEP, REACH = 0.25, 4.5  # of the grid of outcomes, and beyond the outermost signals; standard errors
MOST_POINTS = 4000


@dataclass(frozen=True, slots=True)
class InformationValue:
    """gain : value, unit of gains, choosing and judging on different draws, 0 at least; gain_same_draws : on the same
    effective_draws : behind a reweighted mean, on average; standard_error : what was used, at least the test's own"""

    gain: float
    gain_same_draws: float
    effective_draws: float
    standard_error: float


def information_value(gains: np.ndarray, signal: np.ndarray, standard_error: float) -> InformationValue:
    """gains (K, D) of decisions, signal (K,) what the test measures, standard_error of its estimate.

    Raises ValueError for other shapes, values that are not finite, fewer than 2 x LEAST_DRAWS draws, or a standard
    error that is not above 0.
    """
    _require(gains, signal, standard_error)
    used, effective = standard_error, _effective_draws(signal, standard_error)
    while effective < LEAST_DRAWS:
        used = max(1.2 * used, 1e-3 * float(np.ptp(signal)))
        effective = _effective_draws(signal, used)
    outcomes, step = _grid(signal, used)
    likelihood = _likelihood(outcomes, signal, used) * step  # (N, K)
    mean = gains.mean(axis=0)
    together = (likelihood @ gains / len(gains)).max(axis=1).sum() - mean.max()
    halves = np.arange(len(gains)) % 2
    apart = []
    for half in (0, 1):
        chooser, judge = halves == half, halves != half
        chosen = (likelihood[:, chooser] @ gains[chooser]).argmax(axis=1)
        judged = likelihood[:, judge] @ gains[judge] / judge.sum()
        apart.append(judged[np.arange(len(chosen)), chosen].sum() - mean.max())
    return InformationValue(
        max(float(np.mean(apart)), 0.0), max(float(together), 0.0), effective, float(used)
    )


def perfect_information_value(gains: np.ndarray) -> float:
    """What knowing the draw would be worth among these decisions (K, D): no test is worth more."""
    return float(gains.max(axis=1).mean() - gains.mean(axis=0).max())


def reweighted(signal: np.ndarray, standard_error: float, outcome: float) -> np.ndarray:
    """Weights (K,), sum 1, of draws after the outcome of a test."""
    logged = -0.5 * ((outcome - signal) / standard_error) ** 2
    weights = np.exp(logged - logged.max())
    return weights / weights.sum()


def _grid(signal: np.ndarray, standard_error: float) -> tuple[np.ndarray, float]:
    lower, upper = (
        signal.min() - REACH * standard_error,
        signal.max() + REACH * standard_error,
    )
    count = min(int((upper - lower) / (STEP * standard_error)) + 2, MOST_POINTS)
    outcomes = np.linspace(lower, upper, count)
    return outcomes, float(outcomes[1] - outcomes[0])


def _likelihood(outcomes: np.ndarray, signal: np.ndarray, standard_error: float) -> np.ndarray:
    distance = (outcomes[:, None] - signal) / standard_error
    return np.exp(-0.5 * distance**2) / (standard_error * np.sqrt(2.0 * np.pi))


def _effective_draws(signal: np.ndarray, standard_error: float) -> float:
    """(sum of weights)^2 / sum of squares, on average over outcomes."""
    outcomes = signal[:: max(len(signal) // 200, 1)]
    likelihood = _likelihood(outcomes, signal, standard_error)
    return float((likelihood.sum(axis=1) ** 2 / (likelihood**2).sum(axis=1)).mean())


def _require(gains: np.ndarray, signal: np.ndarray, standard_error: float) -> None:
    if gains.ndim != 2 or signal.shape != (len(gains),) or gains.shape[1] == 0:
        raise ValueError(
            f"gains have shape {gains.shape} and signal {signal.shape}; give (draws, decisions) and (draws,)."
        )
    if not (np.isfinite(gains).all() and np.isfinite(signal).all()):
        raise ValueError("gains or signal hold values that are not finite.")
    if len(gains) < 2 * LEAST_DRAWS:
        raise ValueError(
            f"{len(gains)} draws are too few to weigh anew; keep {2 * LEAST_DRAWS:.0f} or more (kept_draws)."
        )
    if not 0 < standard_error < np.inf:
        raise ValueError(f"the standard error is {standard_error}; it must be above 0 and finite.")
