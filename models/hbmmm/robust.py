"""Consumer-clustered (sandwich) errors of the fixed and market part, beside the model's own.

With phi = (beta, m_1..m_J), G_i = [F_i, R_i] and V_i at the posterior mean of the variances, the estimate solves
sum_i G_i' V_i^-1 (y_i - G_i phi) = prior precision * phi. Its model covariance is A^-1 with A = sum G'V^-1G + prior
precision; allowing any dependence and variance within a consumer it is A^-1 (sum s_i s_i') A^-1 with scores
s_i = G_i' V_i^-1 (y_i - G_i phi) (Liang and Zeger 1986). An effect is linear in phi, so both variances follow.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg, sparse

from models.hbmmm.consumers import mean_coefficients
from models.hbmmm.laplace import consumer_parts, fixed_precision
from models.hbmmm.problem import CHUNK, Problem, centred_gram
from models.hbmmm.statistics import SufficientStatistics


def error_variances(
    statistics: SufficientStatistics,
    problem: Problem,
    parameters: np.ndarray,
    prior_sd: np.ndarray,
    groups: sparse.csr_matrix,
    weights_x: np.ndarray,
    weights_log: np.ndarray,
    totals: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Clustered and model variances of every group's effects, each (G, q).

    parameters (d,): posterior mean. weights_x, weights_log (N, q): weights on the scaled coefficients of the
    channel of column q (channels run fastest); groups (G, N); totals (G, q): denominators.
    """
    n, k, r = problem.consumers_count, problem.slopes_count, problem.market_count
    row_score = _row_scores(statistics, problem, parameters)
    owners = np.array([c for c, _ in problem.design.moderators], dtype=np.int64)
    values = problem.by_consumer(problem.features)
    market = problem.by_consumer(problem.market)
    score_fixed = np.concatenate([row_score, row_score[:, owners] * values], axis=1)
    score_market = row_score[:, problem.market_columns]

    precision, _ = fixed_precision(problem, parameters, prior_sd)
    half = problem.work["market_half"].copy()
    cross = np.zeros((problem.markets_count, r, score_fixed.shape[1]))
    for part in consumer_parts(problem, parameters):
        np.add.at(cross, part.market, part.market_cross)
    bread = linalg.cho_factor(precision, lower=True)
    inverse = half @ half.transpose(0, 2, 1)  # posterior covariance of m_j given beta
    width = len(problem.design.row_columns)
    home = sparse.csr_matrix((np.ones(n), (np.arange(n), market)), shape=(n, problem.markets_count))
    robust, model = np.zeros(totals.shape), np.zeros(totals.shape)
    for q in range(totals.shape[1]):
        slope = 1 + q % (k - 1)
        channel = problem.design.modelled_channels[slope - 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = sparse.diags_array(np.where(totals[:, q] > 0, 1.0 / totals[:, q], 0.0)) @ groups
        fixed_gradient = np.zeros((groups.shape[0], score_fixed.shape[1]))
        for kind, weights in (("exposure", weights_x), ("exposure_log1p", weights_log)):
            column = problem.design.row_index(kind, channel)
            if column is None:
                continue
            weighted = shares @ sparse.diags_array(weights[:, q])
            fixed_gradient[:, column] += np.asarray(weighted.sum(axis=1)).ravel()
            mine = np.flatnonzero(owners == column)
            fixed_gradient[:, width + mine] += weighted @ values[:, mine]
        market_gradient = np.zeros((groups.shape[0], problem.markets_count, r))
        market_gradient[:, :, slope] = (shares @ sparse.diags_array(weights_x[:, q]) @ home).toarray()
        carried = np.einsum("jab,gjb->gja", inverse, market_gradient)
        along_fixed = linalg.cho_solve(bread, (fixed_gradient - np.einsum("jap,gja->gp", cross, carried)).T).T
        along_market = carried - np.einsum("jab,jbp,gp->gja", inverse, cross, along_fixed, optimize=True)
        model[:, q] = (fixed_gradient * along_fixed).sum(axis=1)
        model[:, q] += (market_gradient * along_market).sum(axis=(1, 2))
        projected = score_fixed @ along_fixed.T  # (N, G)
        for start in range(0, n, CHUNK):
            part = slice(start, start + CHUNK)
            projected[part] += np.einsum("nr,gnr->ng", score_market[part], along_market[:, market[part]])
        robust[:, q] = (projected**2).sum(axis=0)
    return robust, model


def _row_scores(statistics: SufficientStatistics, problem: Problem, parameters: np.ndarray) -> np.ndarray:
    """D_i' V_i^-1 (y_i - F_i beta - R_i m), (N, pD): D_i'(residual with every effect at its mean) / s2."""
    total = mean_coefficients(problem, parameters)
    inverse = np.exp(-2.0 * parameters[: len(problem.strata)])[problem.by_consumer(problem.stratum)]
    out = np.empty(total.shape)
    for start in range(0, len(total), CHUNK):
        part = slice(start, start + CHUNK)
        scaled = centred_gram(statistics, problem.design, part)
        fitted = (scaled[:, :-1, :-1] @ total[part][:, :, None])[:, :, 0]
        out[part] = scaled[:, :-1, -1] - fitted
    return out * inverse[:, None]
