"""What importance sampling proposes: coordinates of the variances, and the folded multivariate t in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, special

Density = Callable[[np.ndarray], np.ndarray]
DEGREES = 10.0  # of the t proposal
FAR = 4.0  # own posterior sds from zero from which a standard deviation is proposed on log scale, else folded at zero


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Coordinates of the proposals: standard deviations far from zero as logarithms, where their tails are those of a t
    or lighter on both sides; those near zero as they are, of either sign. log, folded: positions; spread (d,)."""

    log: np.ndarray
    folded: np.ndarray
    spread: np.ndarray

    @classmethod
    def around(cls, mode: np.ndarray, spread: np.ndarray, scales: np.ndarray) -> Space:
        """Coordinates for a mode and rough sds (d,); scales: positions of the standard deviations."""
        is_far = mode[scales] > FAR * spread[scales]
        log = scales[is_far]
        spread = spread.copy()
        spread[log] /= mode[log]
        return cls(log, scales[~is_far], spread)

    def to_space(self, parameters: np.ndarray) -> np.ndarray:
        """Parameters (d,) in these coordinates."""
        points = parameters.copy()
        points[self.log] = np.log(points[self.log])
        return points

    def to_parameters(self, points: np.ndarray) -> np.ndarray:
        """Points (..., d) of these coordinates as parameters."""
        parameters = points.copy()
        parameters[..., self.log] = np.exp(points[..., self.log])
        return parameters

    def log_jacobian(self, points: np.ndarray) -> np.ndarray:
        """Log density of points (..., d) less that of their parameters."""
        return points[..., self.log].sum(axis=-1)

    def gradient(self, points: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        """Gradients of the log density of points (..., d) from those of their parameters."""
        out = gradients.copy()
        out[..., self.log] = out[..., self.log] * np.exp(points[..., self.log]) + 1.0
        return out

    def density(self, density: Density) -> Density:
        """The log density of points, from that of parameters."""
        return lambda points: density(self.to_parameters(points)) + self.log_jacobian(points)


class Proposal:
    """Multivariate t, folded at zero along the folded positions."""

    def __init__(self, mean: np.ndarray, covariance: np.ndarray, folded: np.ndarray) -> None:
        self.mean, self.root = mean, linalg.cholesky(covariance, lower=True)
        self.positive = folded
        sd = np.sqrt(np.diag(covariance))
        near = folded[np.argsort(mean[folded] / sd[folded])][:8]
        self.flips = np.ones((2 ** len(near), len(mean)))
        for bit, position in enumerate(near):
            self.flips[:, position] = np.where(np.arange(len(self.flips)) >> bit & 1, -1.0, 1.0)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Points (count, d)."""
        normal = rng.standard_normal((count, len(self.mean)))
        stretch = np.sqrt(DEGREES / rng.chisquare(DEGREES, count))
        points = self.mean + stretch[:, None] * (normal @ self.root.T)
        points[:, self.positive] = np.abs(points[:, self.positive])
        return points

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Log densities (n,) of points (n, d)."""
        d = len(self.mean)
        constant = special.gammaln((DEGREES + d) / 2) - special.gammaln(DEGREES / 2)
        constant -= 0.5 * d * np.log(DEGREES * np.pi) + np.log(np.diag(self.root)).sum()
        parts = []
        for flip in self.flips:
            z = linalg.solve_triangular(self.root, (points * flip - self.mean).T, lower=True)
            parts.append(constant - 0.5 * (DEGREES + d) * np.log1p((z**2).sum(axis=0) / DEGREES))
        return special.logsumexp(parts, axis=0)
