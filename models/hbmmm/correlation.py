"""Correlations of consumer slopes: canonical partial correlations, free of constraints, with the LKJ prior.

A correlation matrix of m slopes is written as the m (m - 1) / 2 values z with partial correlations c = tanh z
(Lewandowski, Kurowicka and Joe 2009, section 2), row by row below the diagonal. Its Cholesky factor is
    K[i, j] = c[i, j] prod_{l<j} sqrt(1 - c[i, l]^2),  K[i, i] = prod_{l<i} sqrt(1 - c[i, l]^2).
Under LKJ(eta), c[i, j] with j counted from 0 has density (1 - c^2)^(b - 1), b = eta + (m - 2 - j) / 2; with the
Jacobian of tanh, z has density (1 - tanh(z)^2)^b / B. A flip of the sign of slope i flips c[i, .] and c[., i].
"""

from __future__ import annotations

import numpy as np
from scipy import special


def pairs_of(slopes_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the free values, in order."""
    return np.tril_indices(slopes_count, -1)


def cholesky_factor(z: np.ndarray, slopes_count: int) -> np.ndarray:
    """Lower Cholesky factor (m, m) of the correlation matrix of z (m (m - 1) / 2,)."""
    factor = np.zeros((slopes_count, slopes_count))
    partial = np.tanh(z)
    start = 0
    for i in range(slopes_count):
        rest = 1.0
        for j in range(i):
            c = partial[start + j]
            factor[i, j] = c * np.sqrt(rest)
            rest *= 1.0 - c * c
        factor[i, i] = np.sqrt(rest)
        start += i
    return factor


def cholesky_gradient(z: np.ndarray, factor: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Gradient in z of a function whose gradient in the factor is `along` (m, m)."""
    out = np.zeros(len(z))
    partial = np.tanh(z)
    start = 0
    for i in range(len(factor)):
        # dK[i, l]/dz[j] = -c_j K[i, l] for l > j, and K[i, j] (1 - c_j^2) / c_j for l = j, of which the limit is taken
        rest = 1.0
        for j in range(i):
            c = partial[start + j]
            later = along[i, j + 1 : i + 1] @ factor[i, j + 1 : i + 1]
            out[start + j] = along[i, j] * np.sqrt(rest) * (1.0 - c * c) - c * later
            rest *= 1.0 - c * c
        start += i
    return out


def log_prior(z: np.ndarray, slopes_count: int, concentration: float) -> tuple[float, np.ndarray]:
    """Log density of z under LKJ(concentration) and its gradient, (m (m - 1) / 2,)."""
    if not len(z):
        return 0.0, np.zeros(0)
    _, column = pairs_of(slopes_count)
    b = concentration + (slopes_count - 2 - column) / 2.0
    partial = np.tanh(z)
    constant = special.betaln(b, b) + (2.0 * b - 1.0) * np.log(
        2.0
    )  # integral of (1 - c^2)^(b - 1) over (-1, 1)
    log_square = -2.0 * (np.logaddexp(z, -z) - np.log(2.0))  # log(1 - tanh(z)^2), exact in the tails
    return float(np.sum(b * log_square - constant)), -2.0 * b * partial


def normal_sd(slopes_count: int, concentration: float) -> np.ndarray:
    """Standard deviations of normals with the curvature of log_prior at zero, (m (m - 1) / 2,)."""
    _, column = pairs_of(slopes_count)
    return 1.0 / np.sqrt(2.0 * (concentration + (slopes_count - 2 - column) / 2.0))


def log_prior_ratio(z: np.ndarray, slopes_count: int, concentration: float) -> tuple[float, np.ndarray]:
    """log_prior less the log density of normals with normal_sd, and its gradient."""
    value, gradient = log_prior(z, slopes_count, concentration)
    sd = normal_sd(slopes_count, concentration)
    normal = -0.5 * np.sum((z / sd) ** 2) - np.sum(np.log(sd)) - 0.5 * len(z) * np.log(2.0 * np.pi)
    return float(value - normal), gradient + z / sd**2


def flip_signs(z: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """z (..., m (m - 1) / 2) of the correlations after slopes are multiplied by their signs (..., m)."""
    row, column = pairs_of(signs.shape[-1])
    return z * signs[..., row] * signs[..., column]
