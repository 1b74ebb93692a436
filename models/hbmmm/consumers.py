"""Exact draws of market and consumer effects given draws of the global parameters, streamed by chunks of consumers.

m_j | draw ~ N(B M^-1 B h, Z Z') by market (kernel.py), then g_i | m, draw by consumer (consumer_kernel.py). A chunk
is drawn for all draws at once, so that its statistics stay in the processor's cache; chunks run on several threads, and
are seeded each, so that the result does not depend on how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from models.hbmmm import kernel
from models.hbmmm.consumer_kernel import draw_coefficients
from models.hbmmm.problem import Problem

BLOCKS = 4  # of a chunk: 512 consumers
DRAWS = 50  # at once where all consumers of a draw are wanted together
T = TypeVar("T")
_STREAM = 1  # apart from generators seeded by the same numbers; zeros at the end of a seed do not tell streams apart


@dataclass(frozen=True, slots=True, eq=False)
class ConsumerChunk:
    """Some consumers (n,), by number in the order of the statistics, and all S draws; scaled units.

    coefficients (pM, S, n): total coefficients of the moderated row columns (intercept, x, concave, in design order):
    fixed + moderators + market + consumer effect. variances (k, n): mean over draws of P_cc, the posterior variances
    of the consumer effects given the global draw.
    """

    consumers: np.ndarray
    coefficients: np.ndarray
    variances: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class ConsumerDraw:
    """One draw of all consumers: coefficients (N, pM), market (J, r): market effects, fixed (pD,): d."""

    coefficients: np.ndarray
    market: np.ndarray
    fixed: np.ndarray


def market_draws(
    problem: Problem, parameters: np.ndarray, rng: np.random.Generator | None, threads_count: int = 1
) -> np.ndarray:
    """Market effects (S, J, r) for each row of parameters (S, d); with rng None the conditional means."""
    return market_draws_of_parts([problem], parameters, rng, threads_count)


def market_draws_of_parts(
    problems: Iterable[Problem],
    parameters: np.ndarray,
    rng: np.random.Generator | None,
    threads_count: int = 1,
) -> np.ndarray:
    """market_draws of all consumers of several problems with one design, gone through once."""
    total, sums, pieces = 0.0, 0.0, []
    for problem in problems:
        pieces = [problem.split(np.ascontiguousarray(row)) for row in parameters]
        more = _market_sums(problem, pieces, threads_count)
        total, sums = total + more[0], sums + more[1]
    out = np.empty(sums.shape)
    markets, r = sums.shape[1:]
    half, unused = np.empty((markets, r, r)), np.empty(r)
    for s, (_, _, scale, _) in enumerate(pieces):
        kernel.integrate_markets(total[s], sums[s], scale, out[s], half, unused)
        if rng is not None:
            normal = rng.standard_normal((markets, r))
            out[s] += np.einsum("jrc,jc->jr", half, normal)
    return out


def _market_sums(problem: Problem, pieces: list[tuple], threads_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of A (S, J, r, r) and h (S, J, r) by market, for each draw's pieces (Problem.split)."""
    k, r, draws = problem.slopes_count, problem.market_count, len(pieces)
    width = len(problem.design.row_columns)
    total, sums = np.zeros((draws, problem.markets_count, r, r)), np.zeros((draws, problem.markets_count, r))

    def chunk(part: slice) -> tuple[int, np.ndarray, np.ndarray]:
        home = problem.market[part]
        first, last = int(home[home >= 0].min()), int(home.max())
        near = np.where(home >= 0, home - first, -1)
        shape = (draws, last - first + 1, r)
        information, score = np.zeros((*shape, r)), np.zeros(shape)
        blocks = len(home)
        work = [
            np.empty((blocks, *size, kernel.LANES)) for size in ((r,), (k, k), (k, r), (k,), (r, r), (r,))
        ]
        for s, (log_noise, factor, _, fixed) in enumerate(pieces):
            kernel.forward(
                problem.gram[part], problem.outcome[part], np.exp(-2.0 * log_noise)[problem.stratum[part]],
                fixed[:width], fixed[width:], problem.features[part], problem.segment_starts,
                problem.market_columns, factor, *work,
            )  # fmt: skip
            kernel.sum_by_market(work[-2], work[-1], near, information[s], score[s])
        return first, information, score

    for first, information, score in _over_chunks(problem, chunk, threads_count):
        places = slice(first, first + information.shape[1])
        total[:, places] += information
        sums[:, places] += score
    return total, sums


def over_consumers(
    problem: Problem,
    parameters: np.ndarray,
    market: np.ndarray,
    seed: list[int] | None,
    work: Callable[[ConsumerChunk], T],
    threads_count: int = 1,
) -> Iterator[T]:
    """work(chunk) of every chunk, in order, for parameters (S, d) and market effects (S, J, r) of the same draws.

    seed: of the consumers' noise, to which the chunk's number is added; None gives conditional means. `work` runs on
    several threads at once and must not keep the chunk.
    """
    draws, k = len(parameters), problem.slopes_count
    pieces = [problem.split(np.ascontiguousarray(row)) for row in parameters]
    inverse_s2 = np.exp(-2.0 * np.array([p[0] for p in pieces]))
    factor = np.array([p[1] for p in pieces])
    both = np.array([p[3] for p in pieces])
    width = len(problem.design.row_columns)
    fixed, omega = np.ascontiguousarray(both[:, :width]), np.ascontiguousarray(both[:, width:])
    market = np.ascontiguousarray(market)

    def chunk(part: slice) -> T:
        lanes = problem.lanes[part].ravel()
        normal = np.zeros((draws, k, len(lanes)))
        if seed is not None:
            np.random.default_rng([_STREAM, *seed, part.start + 1]).standard_normal(out=normal)
        coefficients = np.empty((len(problem.segment_starts) - 1, draws, len(lanes)))
        variances = np.zeros((k, len(lanes)))
        draw_coefficients(
            problem.gram[part], problem.outcome[part], problem.stratum[part], problem.market[part],
            problem.features[part], problem.segment_starts, problem.market_columns, inverse_s2, factor, fixed, omega,
            market, normal, coefficients, variances,
        )  # fmt: skip
        keep = lanes >= 0
        if not keep.all():
            lanes, coefficients, variances = lanes[keep], coefficients[:, :, keep], variances[:, keep]
        return work(ConsumerChunk(lanes, coefficients, variances / draws))

    yield from _over_chunks(problem, chunk, threads_count)


def consumer_draws(
    problem: Problem, parameters: np.ndarray, rng: np.random.Generator | None
) -> Iterator[ConsumerDraw]:
    """One ConsumerDraw for each row of parameters (S, d), market effects drawn too; rng None: conditional means."""
    width = len(problem.design.row_columns)
    fixed_from = problem.layout.fixed.start
    for start in range(0, len(parameters), DRAWS):
        part = np.ascontiguousarray(parameters[start : start + DRAWS])
        market = market_draws(problem, part, rng)
        seed = None if rng is None else [int(rng.integers(2**31 - 1))]
        out = np.empty((len(problem.segment_starts) - 1, len(part), problem.consumers_count))

        def keep(chunk: ConsumerChunk, out: np.ndarray = out) -> None:
            out[:, :, chunk.consumers] = chunk.coefficients

        list(over_consumers(problem, part, market, seed, keep))
        for s, row in enumerate(part):
            yield ConsumerDraw(np.ascontiguousarray(out[:, s].T), market[s], row[fixed_from:][:width])


def mean_coefficients(problem: Problem, parameters: np.ndarray) -> np.ndarray:
    """Total coefficients of all row-level columns with market and consumer effects at their means, (N, pD)."""
    return total_coefficients(problem, next(consumer_draws(problem, parameters[None], None)))


def total_coefficients(problem: Problem, draw: ConsumerDraw) -> np.ndarray:
    """Coefficients of all row-level columns of every consumer in a draw, (N, pD)."""
    total = np.tile(draw.fixed, (problem.consumers_count, 1))
    total[:, : draw.coefficients.shape[1]] = draw.coefficients
    covariates = list(problem.market_columns[problem.slopes_count :])
    market_index = problem.by_consumer(problem.market)
    total[:, covariates] += draw.market[market_index, problem.slopes_count :]
    return total


def _over_chunks(problem: Problem, work: Callable[[slice], T], threads_count: int) -> Iterator[T]:
    parts = [slice(start, start + BLOCKS) for start in range(0, len(problem.lanes), BLOCKS)]
    if threads_count == 1 or len(parts) == 1:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(threads_count) as pool:
        yield from pool.map(work, parts)
