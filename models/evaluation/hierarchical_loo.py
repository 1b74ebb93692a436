"""Exact leave-one-out of a hierarchical linear Gaussian model with many consumers, by row and by consumer, at scale.

    y_i = F_i phi + M_i m_j(i) + X_i b_i + e_i,   phi ~ N(0, P^-1),  m_j ~ N(0, diag(tau^2)),  b_i ~ N(0, V)

The inverse covariance of all y is Q = W - W Z A Z' W with W = blockdiag(V_i^-1), V_i = X_i V X_i' + D_i,
Z_i = [F_i, M_i in the place of market j] and A = (prior + Z'WZ)^-1, so that (Q y)_t and Q_tt need one consumer's rows
at a time. A row is left out of everything: the population (phi, m) is refitted without it as well as b_i. With the
population held at its posterior mean the LOO of a fit of 100 consumers (925 rows) came out at 7054, here at 7073.
All rows of a consumer together (marginal) need the block Q_ii in the place of Q_tt. Variances are taken as known.
`information.exact_loo` computes the same from one dense design; tests hold this to it.
"""

from __future__ import annotations

import numpy as np

from models.evaluation.information import InformationCriterion, pooled_criterion

_LOG_2PI = float(np.log(2.0 * np.pi))


def hierarchical_loo(
    outcome: np.ndarray,
    population_design: np.ndarray,
    population_precision: np.ndarray,
    design: np.ndarray,
    consumer_index: np.ndarray,
    covariance: np.ndarray,
    noise_variance: np.ndarray,
    market_design: np.ndarray | None = None,
    market_index: np.ndarray | None = None,
    market_sd: np.ndarray | None = None,
) -> tuple[InformationCriterion, InformationCriterion]:
    """(conditional LOO, points are rows; marginal LOO, points are consumers with all their rows).

    outcome (R,), consumers' rows side by side: consumer_index (R,) ascending. population_design F (R, p) and its prior
    precision P (p, p). design X (R, k), covariance V (k, k) of consumer effects, noise_variance (R,) > 0.
    market_design M (R, r), market_index (R,) in 0..J-1 and market_sd tau (r,) > 0 together, or none of them.
    Raises ValueError where rows are not in consumer order or a market_sd is not positive.
    """
    if (np.diff(consumer_index) < 0).any():
        raise ValueError("rows must be in ascending order of consumer_index.")
    p, r, markets = population_design.shape[1], 0, 0
    precision = np.asarray(population_precision, dtype=float)
    if market_design is not None and market_index is not None and market_sd is not None:
        if not (market_sd > 0).all():
            raise ValueError(f"market_sd is {market_sd}; leave markets out where they have no effects.")
        r, markets = market_design.shape[1], int(market_index.max()) + 1
        whole = np.zeros((p + markets * r,) * 2)
        whole[:p, :p] = precision
        places = np.arange(p, len(whole))
        whole[places, places] = np.tile(1.0 / np.asarray(market_sd) ** 2, markets)
        precision = whole
    precision, right = precision.copy(), np.zeros(len(precision))
    blocks = []
    for at in np.split(np.arange(len(outcome)), np.flatnonzero(np.diff(consumer_index)) + 1):
        columns, place = population_design[at], np.arange(p)
        if markets:
            first = p + int(market_index[at[0]]) * r
            columns = np.hstack([columns, market_design[at]])
            place = np.append(place, np.arange(first, first + r))
        wide = design[at] @ covariance @ design[at].T + np.diag(noise_variance[at])
        inverse = np.linalg.inv(wide)
        weighted = inverse @ columns
        precision[np.ix_(place, place)] += columns.T @ weighted
        right[place] += weighted.T @ outcome[at]
        blocks.append((at, place, inverse, weighted))
    posterior = np.linalg.inv(precision)
    mean = posterior @ right
    by_row, by_consumer = np.empty(len(outcome)), np.empty(len(blocks))
    for i, (at, place, inverse, weighted) in enumerate(blocks):
        solved = inverse @ outcome[at] - weighted @ mean[place]
        block = inverse - weighted @ posterior[np.ix_(place, place)] @ weighted.T
        diagonal = np.diag(block)
        by_row[at] = 0.5 * (np.log(diagonal) - solved**2 / diagonal - _LOG_2PI)
        square = solved @ np.linalg.solve(block, solved)
        by_consumer[i] = 0.5 * (np.linalg.slogdet(block)[1] - square - len(at) * _LOG_2PI)
    return (
        pooled_criterion("LOO", "conditional", "exact given the variances, one row left out", by_row),
        pooled_criterion("LOO", "marginal", "exact given the variances, one consumer left out", by_consumer),
    )
