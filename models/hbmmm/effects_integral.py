"""Fixed and market effects of a linear Gaussian regression, integrated out exactly; and how the integral changes.

    log integral of exp(-b'Hb/2 + g'b + sum_j [-m_j'H_j m_j/2 - m_j'C_j b + g_j'm_j]), b ~ N(0, prior), m_j ~ N(0, B^2)

Its gradient in H, g, H_j, C_j and g_j is an expectation under the Gaussian posterior of b and m (Fisher's identity).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg


@dataclass(frozen=True, slots=True, eq=False)
class Adjoints:
    """Gradients of the integral in information (p, p), score (p,), market_information (J, r, r), market_cross
    (J, r, p), market_score (J, r) and market_scale (r,)."""

    information: np.ndarray
    score: np.ndarray
    market_information: np.ndarray
    market_cross: np.ndarray
    market_score: np.ndarray
    market_scale: np.ndarray


def integrate_effects(
    information: np.ndarray,
    score: np.ndarray,
    market_information: np.ndarray,
    market_cross: np.ndarray,
    market_score: np.ndarray,
    market_scale: np.ndarray,
    prior_sd: np.ndarray,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log integral of exp(-b'Hb/2 + g'b) over fixed effects b ~ N(0, prior) and market effects m_j ~ N(0, B^2).

    information H (p, p), score g (p,); by market: information (J, r, r), cross (J, r, p), score (J, r) of m_j.
    Returns (value, mean of b (p,), lower Cholesky factor of its precision (p, p)).
    """
    r = len(market_scale)
    inner = market_scale[:, None] * market_information * market_scale + np.eye(r)
    root = np.linalg.cholesky(inner)
    both = np.concatenate([market_cross, market_score[:, :, None]], axis=2) * market_scale[:, None]
    solved = np.linalg.solve(root, both)
    value = -np.log(np.diagonal(root, axis1=1, axis2=2)).sum() + 0.5 * np.sum(solved[:, :, -1] ** 2)
    flat = solved.reshape(-1, solved.shape[-1])
    correction = flat.T @ flat
    precision = information - correction[:-1, :-1]
    precision[np.diag_indices(len(prior_sd))] += prior_sd**-2.0
    chol = linalg.cholesky(precision, lower=True)
    half = linalg.solve_triangular(chol, score - correction[:-1, -1], lower=True)
    value += 0.5 * half @ half - np.log(np.diag(chol)).sum() - np.log(prior_sd).sum()
    return float(value), linalg.solve_triangular(chol, half, lower=True, trans="T"), chol


def integral_adjoints(
    market_information: np.ndarray,
    market_cross: np.ndarray,
    market_score: np.ndarray,
    market_scale: np.ndarray,
    mean: np.ndarray,
    root: np.ndarray,
) -> Adjoints:
    """Gradients of integrate_effects, of which mean and root are the last two results.

    With m_j = B z_j: z_j | b ~ N(K_j^-1 (B g_j - B C_j b), K_j^-1), K_j = I + B H_j B. The gradient in B_a is
    sum_j (E[z_a^2] - 1) / B_a, and zero at B_a = 0, where the integral is even.
    """
    r = len(market_scale)
    covariance = linalg.cho_solve((root, True), np.eye(len(mean)))
    inner = np.linalg.inv(market_scale[:, None] * market_information * market_scale + np.eye(r))
    along = inner @ (market_scale[:, None] * market_cross)  # W_j (J, r, p)
    centre = np.einsum("jab,jb->ja", inner, market_scale * market_score) - along @ mean
    z_covariance = inner + along @ covariance @ along.transpose(0, 2, 1)
    z_square = z_covariance + centre[:, :, None] * centre[:, None, :]
    z_b = centre[:, :, None] * mean - along @ covariance
    excess = (np.einsum("jaa->ja", z_square) - 1.0).sum(axis=0)
    return Adjoints(
        information=-0.5 * (covariance + np.outer(mean, mean)),
        score=mean,
        market_information=-0.5 * market_scale[:, None] * z_square * market_scale,
        market_cross=-market_scale[:, None] * z_b,
        market_score=market_scale * centre,
        market_scale=np.divide(excess, market_scale, out=np.zeros(r), where=market_scale != 0.0),
    )
