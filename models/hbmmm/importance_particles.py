"""Evaluates the collapsed posterior at many points, on as many threads as a fit may use processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from models.hbmmm.collapsed import CollapsedPosterior
from models.hbmmm.collapsed_problem import CollapsedProblem
from models.hbmmm.config import HBMMMConfig

T = TypeVar("T")


class Particles:
    """Evaluates the collapsed posterior at many points, on as many threads as the fit may use processes."""

    def __init__(
        self, problem: CollapsedProblem, prior_sd: np.ndarray, config: HBMMMConfig, seed: int
    ) -> None:
        concentration = config.prior_slope_correlation
        self.workers = [
            CollapsedPosterior(problem, prior_sd, concentration)
            for _ in range(max(config.worker_processes, 1))
        ]
        self.seed = seed
        self.count = 0

    def density(self, points: np.ndarray) -> np.ndarray:
        """Log densities (n,) of points (n, d)."""
        out = np.empty(len(points))
        for i, value, _ in self._all(points, lambda i: None):
            out[i] = value
        return out

    def value_and_gradient(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density of one point (d,), and its gradient, on one thread."""
        return self.workers[0].value_and_gradient(point)

    def gradients(self, points: np.ndarray) -> np.ndarray:
        """Gradients (n, d) of the log density at points (n, d)."""
        self.count += len(points)
        found = self._on_workers(len(points), lambda worker, i: worker.value_and_gradient(points[i])[1])
        return np.array(list(found))

    def evaluate(self, points: np.ndarray, stage: int) -> Iterator[tuple[int, float, np.ndarray]]:
        """(index, log density, draw of the fixed coefficients) of each point, in any order; seeded by index."""
        return self._all(points, lambda i: np.random.default_rng([self.seed, 1 + stage, 1 + i]))

    def _all(self, points: np.ndarray, generator: Callable) -> Iterator:
        self.count += len(points)

        def one(worker: CollapsedPosterior, i: int) -> tuple[int, float, np.ndarray]:
            try:
                value, fixed = worker.evaluate(points[i], generator(i))
            except (
                np.linalg.LinAlgError,
                FloatingPointError,
                ValueError,
            ):  # ValueError: SciPy's word for NaN
                value, fixed = -np.inf, np.zeros(len(worker.fixed_sd))
            return i, value if np.isfinite(value) else -np.inf, fixed

        return self._on_workers(len(points), one)

    def _on_workers(self, count: int, work: Callable[[CollapsedPosterior, int], T]) -> Iterator[T]:
        """work(worker, i) for i below count, in order, on all threads."""
        free = list(self.workers)

        def one(i: int) -> T:
            worker = free.pop()  # as many workers as threads: one is always free
            try:
                return work(worker, i)
            finally:
                free.append(worker)

        with ThreadPoolExecutor(len(self.workers)) as pool:
            yield from pool.map(one, range(count))
