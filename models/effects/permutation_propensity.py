"""Who of a consumer's periods are the exposed ones, given how many are: propensities of a tilted permutation.

    P(D_i1..D_iT | sum_t D_it = s_i) = prod_t w_it^D_it / e_s(w_i1..w_iT),   w_it = exp(q' F_it)

(Chamberlain 1980: conditional logit; e_s is the elementary symmetric polynomial of order s.) Everything constant about
the consumer cancels. Unlike expit(own share + q' F_it), which ignores that the own share contains D_it, this is a
probability of the design itself: a consumer exposed in all of three shared waves has propensity near 1 in them and
nobody to be compared with, which trimming can see.

e_it = P(D_it = 1 | s_i) is the derivative of log e_s in log w_it, by one pass forth and one back over periods. q has a
normal prior and is found by Newton steps with Hajek's (1964) approximation of the Hessian, the weighted covariance of
F within consumers with weights e (1 - e).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from models.errors import ConvergenceError

CELLS_AT_ONCE = 4_000_000  # of the (periods, consumers, exposed periods) table held in memory
NEWTON_ROUNDS = 60
LEVEL_ROUNDS = 8  # of finding a level of log odds at which as many periods are expected to be exposed as are
NEWTON_TOLERANCE = 1e-8  # Newton decrement as a share of the objective


@dataclass(frozen=True, eq=False)
class ConsumerGrid:
    """Rows on a (consumers, periods) grid, consumers ordered by their number of exposed periods.

    Attributes
    ----------
    consumer, place : (R,) grid position of each row
    exposed_counts : (N,) s_i; shape : (N, longest panel)
    """

    consumer: np.ndarray
    place: np.ndarray
    exposed_counts: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def of(cls, treatment: np.ndarray, consumer_index: np.ndarray) -> ConsumerGrid:
        """From rows in any order; treatment (R,) bool, consumer_index (R,) any labels."""
        position = np.unique(consumer_index, return_inverse=True)[1]
        counts = np.bincount(position)
        order = np.argsort(position, kind="stable")
        place = np.empty(len(position), dtype=np.int64)
        place[order] = np.arange(len(position)) - np.repeat(np.cumsum(counts) - counts, counts)
        exposed = np.bincount(position, treatment).astype(np.int64)
        by_count = np.argsort(exposed, kind="stable")
        rank = np.empty_like(by_count)
        rank[by_count] = np.arange(len(by_count))
        return cls(rank[position], place, exposed[by_count], (len(counts), int(counts.max())))


def permutation_propensities(tilt: np.ndarray, grid: ConsumerGrid) -> tuple[np.ndarray, float]:
    """(R,) e_it for tilts q' F_it, (R,), and sum over consumers of log e_s."""
    odds = np.full(grid.shape, -np.inf)  # periods that a consumer does not have are never exposed
    odds[grid.consumer, grid.place] = tilt
    level = _level(odds, grid.exposed_counts)
    odds -= level[:, None]
    found, logarithm = np.empty(grid.shape), float(level @ grid.exposed_counts)
    at_once = max(CELLS_AT_ONCE // ((grid.shape[1] + 1) * (int(grid.exposed_counts[-1]) + 1)), 1)
    for start in range(0, grid.shape[0], at_once):
        chunk = slice(start, start + at_once)
        found[chunk], part = _forth_and_back(odds[chunk], grid.exposed_counts[chunk])
        logarithm += part
    return found[grid.consumer, grid.place], logarithm


def fit_tilt(
    columns: np.ndarray,
    treatment: np.ndarray,
    consumer_index: np.ndarray,
    precision: float,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Mode q (K,) and the inverse (K, K) of its negative Hessian; columns (R, K), prior precision of each of q.

    Raises
    ------
    ConvergenceError : no step improved the objective although the gradient is not zero.
    """
    grid = ConsumerGrid.of(treatment, consumer_index)
    target = treatment.astype(float)

    def objective(q: np.ndarray) -> tuple[float, np.ndarray]:
        tilt = columns @ q
        e, logarithm = permutation_propensities(tilt, grid)
        return float(target @ tilt - logarithm - 0.5 * precision * q @ q), e

    q = np.zeros(columns.shape[1]) if start is None else start.copy()
    value, e = objective(q)
    for _ in range(NEWTON_ROUNDS):
        gradient = columns.T @ (target - e) - precision * q
        hessian = _hessian(columns, e, consumer_index) + precision * np.eye(len(q))
        step = np.linalg.solve(hessian, gradient)
        if 0.5 * gradient @ step < NEWTON_TOLERANCE * (1 + abs(value)):
            return q, np.linalg.inv(hessian)
        length = 1.0
        while (proposed := objective(q + length * step))[0] < value and length > 1e-6:
            length /= 2
        if length <= 1e-6:
            break
        q, (value, e) = q + length * step, proposed
    raise ConvergenceError(
        f"The propensity of high periods ({len(columns)} rows, {len(q)} columns) did not settle in {NEWTON_ROUNDS} "
        "Newton steps. Are the columns finite and of similar size?"
    )


def tilted_columns(columns: np.ndarray, propensity: np.ndarray, consumer_index: np.ndarray) -> np.ndarray:
    """F less its mean within the consumer weighted by e (1 - e), (R, K): d e_it / d q is e (1 - e) times it."""
    position = np.unique(consumer_index, return_inverse=True)[1]
    weight = propensity * (1 - propensity)
    total = np.maximum(np.bincount(position, weight), 1e-300)
    means = np.column_stack(
        [np.bincount(position, weight * c) / total for c in columns.T] or [total[:, None][:, :0]]
    )
    return columns - means[position]


def _hessian(columns: np.ndarray, propensity: np.ndarray, consumer_index: np.ndarray) -> np.ndarray:
    centred = tilted_columns(columns, propensity, consumer_index)
    centred *= np.sqrt(propensity * (1 - propensity))[:, None]
    return centred.T @ centred


def _level(odds: np.ndarray, exposed_counts: np.ndarray) -> np.ndarray:
    """(N,) c_i with about s_i = sum_t expit(tilt_it - c_i): any is right, this one keeps probabilities in range."""
    periods = np.isfinite(odds).sum(axis=1)
    level = np.where(np.isfinite(odds), odds, 0.0).sum(axis=1) / periods
    level -= logit(np.clip(exposed_counts / periods, 0.5 / periods, 1 - 0.5 / periods))
    for _ in range(LEVEL_ROUNDS):
        p = expit(odds - level[:, None])
        level += np.clip(
            (p.sum(axis=1) - exposed_counts) / np.maximum((p * (1 - p)).sum(axis=1), 0.1), -10, 10
        )
    return level


def _forth_and_back(odds: np.ndarray, exposed_counts: np.ndarray) -> tuple[np.ndarray, float]:
    """(N, T) e_it of log odds, and the sum of log e_s.

    With p = expit(odds), P(sum of independent D = s) = e_s prod (1 - p); forth[t, :, k] is the probability of k exposed
    periods before t, back[:, k] that the periods from t on bring k up to s.
    """
    consumers, periods = odds.shape
    most = int(exposed_counts.max())
    p = expit(odds)
    forth = np.zeros((periods + 1, consumers, most + 1))
    forth[0, :, 0] = 1.0
    for t in range(periods):
        np.multiply(forth[t], 1 - p[:, t, None], out=forth[t + 1])
        forth[t + 1][:, 1:] += p[:, t, None] * forth[t][:, :-1]
    everybody = np.arange(consumers)
    reached = forth[periods][everybody, exposed_counts]
    back = np.zeros((consumers, most + 1))
    back[everybody, exposed_counts] = 1.0
    e = np.empty_like(odds)
    for t in reversed(range(periods)):
        exposed = p[:, t] * np.einsum("nk,nk->n", back[:, 1:], forth[t][:, :-1])
        e[:, t] = exposed / reached
        stays = back * (1 - p[:, t, None])
        stays[:, :-1] += p[:, t, None] * back[:, 1:]
        back = stays
    return e, float(np.log(reached).sum() + np.logaddexp(0.0, odds).sum())
