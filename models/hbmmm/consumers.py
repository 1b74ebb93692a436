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


def consumer_draws(
    problem: Problem, parameters: np.ndarray, rng: np.random.Generator | None
) -> Iterator[ConsumerDraw]:
    """One ConsumerDraw for each row of parameters (S, d); with rng None the conditional means instead of draws."""
    k, r = problem.slopes_count, problem.market_count
    width, moderated = len(problem.design.row_columns), len(problem.segment_starts) - 1
    values = problem.by_consumer(problem.features)
    market_index = problem.by_consumer(problem.market)
    slopes = list(problem.design.slope_columns)
    shape = (len(problem.lanes), k, kernel.LANES)
    mean, draw, variance = np.empty(shape), np.empty(shape), np.empty(shape)
    no_noise = np.zeros(shape)
    for row in parameters:
        log_noise, factor, scale, fixed = problem.split(np.ascontiguousarray(row))
        w = run_forward(problem, log_noise, factor, fixed)
        kernel.solve_markets(
            w["information"], w["score"], problem.market, scale, w["market_mean"], w["market_half"],
            w["scale_gradient"],
        )  # fmt: skip
        market = w["market_mean"].copy()
        if rng is not None:
            normal = rng.standard_normal((problem.markets_count, r))
            market += np.einsum("jrc,jc->jr", w["market_half"], normal)
        kernel.draw_consumers(
            w["inverse_s2"], problem.market, factor, w["chol"], w["cross"], w["weighted"], market,
            no_noise if rng is None else rng.standard_normal(shape), mean, draw, variance,
        )  # fmt: skip
        coefficients = np.empty((problem.consumers_count, moderated))
        for column in range(moderated):
            part = slice(problem.segment_starts[column], problem.segment_starts[column + 1])
            coefficients[:, column] = fixed[column] + values[:, part] @ fixed[width:][part]
        coefficients[:, slopes] += problem.by_consumer(draw) + market[market_index, :k]
        yield ConsumerDraw(coefficients, market, problem.by_consumer(variance), fixed[:width])


def mean_coefficients(problem: Problem, parameters: np.ndarray) -> np.ndarray:
    """Total coefficients of all row-level columns with market and consumer effects at their means, (N, pD)."""
    one = next(consumer_draws(problem, parameters[None], None))
    total = np.tile(one.fixed, (problem.consumers_count, 1))
    total[:, : one.coefficients.shape[1]] = one.coefficients
    covariates = list(problem.market_columns[problem.slopes_count :])
    market_index = problem.by_consumer(problem.market)
    total[:, covariates] += one.market[market_index, problem.slopes_count :]
    return total
