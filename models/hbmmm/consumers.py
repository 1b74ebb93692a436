"""Exact draws of consumer and market effects given draws of the global parameters, streamed.

m_j | draw ~ N(B M^-1 B h, Z Z') by market, then g_i | m, draw ~ N(P X'(r - R m) / s2, P) by consumer (kernel.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.hbmmm import kernel
from models.hbmmm.problem import Problem, run_forward


@dataclass(frozen=True, slots=True, eq=False)
class ConsumerDraw:
    """One draw, scaled units, consumers in the order of the statistics.

    coefficients (N, pM): total coefficients of the moderated row columns (intercept, x, log1p x, in design order):
    fixed + moderators + market + consumer effect. market (J, r): market effects. variances (N, k): P_cc, the
    posterior variances of the consumer effects given the global draw. fixed (pD,): row-level coefficients d.
    """

    coefficients: np.ndarray
    market: np.ndarray
    variances: np.ndarray
    fixed: np.ndarray


def consumer_draws(problem: Problem, parameters: np.ndarray, rng: np.random.Generator) -> Iterator[ConsumerDraw]:
    """One ConsumerDraw for each row of parameters (S, d)."""
    n, k, r = problem.consumers_count, problem.slopes_count, problem.market_count
    width = len(problem.design.row_columns)
    moderated = len(problem.segment_starts) - 1
    flat = problem.lanes.ravel()
    keep = flat >= 0
    values = np.empty((n, problem.features.shape[1]))
    values[flat[keep]] = np.moveaxis(problem.features, -1, 1).reshape(len(flat), -1)[keep]
    market_index = np.empty(n, dtype=np.int64)
    market_index[flat[keep]] = problem.market.ravel()[keep]
    shape = (len(problem.lanes), k, kernel.LANES)
    mean, draw, variance = np.empty(shape), np.empty(shape), np.empty(shape)

    def by_consumer(lanes: np.ndarray) -> np.ndarray:
        out = np.empty((n, k))
        out[flat[keep]] = np.moveaxis(lanes, -1, 1).reshape(len(flat), k)[keep]
        return out

    for row in parameters:
        log_noise, factor, scale, fixed = problem.split(np.ascontiguousarray(row))
        w = run_forward(problem, log_noise, factor, fixed)
        kernel.solve_markets(
            w["information"], w["score"], problem.market, scale, w["market_mean"], w["market_half"],
            w["scale_gradient"],
        )  # fmt: skip
        normal = rng.standard_normal((problem.markets_count, r))
        market = w["market_mean"] + np.einsum("jrc,jc->jr", w["market_half"], normal)
        kernel.draw_consumers(
            w["inverse_s2"], problem.market, factor, w["chol"], w["cross"], w["weighted"], market,
            rng.standard_normal(shape), mean, draw, variance,
        )  # fmt: skip
        coefficients = np.empty((n, moderated))
        for column in range(moderated):
            part = slice(problem.segment_starts[column], problem.segment_starts[column + 1])
            coefficients[:, column] = fixed[column] + values[:, part] @ fixed[width:][part]
        effect = by_consumer(draw) + market[market_index, :k]
        coefficients[:, list(problem.design.slope_columns)] += effect
        yield ConsumerDraw(coefficients, market, by_consumer(variance), fixed[:width])
