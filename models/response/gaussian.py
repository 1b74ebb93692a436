"""The likelihood with its linear part integrated out, the posterior of that part, and exact derivatives.

In units of noise, for market j with recorded periods t, P columns of its own and a part common to all:

    r_j = Z_j z_j + s_j * w + D_j d + e_j,   e ~ N(0, I),   z_j ~ N(0, I),  d ~ N(0, I),  w ~ N(0, shocks)

Z_j (T, P): level, trend, the channels' deviations of the market; w (T): common shocks, s_j = 1 / noise of the market;
D_j (T, Q): what is common besides. Markets are eliminated first, which leaves one matrix over (w, d):

    A_j = I + Z_j'Z_j,   H_j = A_j^-1 Z_j'B_j,   S = prior + sum_j B_j'B_j - (Z_j'B_j)'H_j,   B_j = [diag s_j, D_j]

so that a density costs J T^2 P operations, whatever is missing and however noise differs. Lift tests are further rows
over all z and d: they change the posterior by as many dimensions as there are tests (`_with_rows`).

Derivatives by a column are E[residual x coefficient] under the posterior (Fisher's identity), no chain through the
factorisations: for Z_j that is e_j z_j' - Cov(Z_j z_j + B_j b, z_j), with posterior means in the first term.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from models.response.shocks import ShockMoments, ShockPrior

LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Further observations, in units of their error: v = sum_j own_j z_j + common d + e; n rows.

    outcome (n,); own (n, J, P); common (n, Q); log_error: sum of the logarithms of their standard errors
    """

    outcome: np.ndarray
    own: np.ndarray
    common: np.ndarray
    log_error: float


@dataclass(frozen=True, slots=True, eq=False)
class LinearPosterior:
    """Posterior of the linear part, and the log density of the data.

    own_mean (J, P), common_mean (W + Q,): w first (W is T, or 0 without shocks), then d
    own_covariance (J, P, P): within a market; cross (J, P, W + Q): minus Cov(z_j, common); common_covariance
    own_inverse (J, P, P) = A^-1, half (J, P, W + Q) = H, common_root: Cholesky of S, lower: for draws
    residual (J, T): r - fitted mean, in units of noise; row_residual (n,), row_covariance (n, ...): of Rows
    """

    log_density: float
    own_mean: np.ndarray
    common_mean: np.ndarray
    own_covariance: np.ndarray
    cross: np.ndarray
    common_covariance: np.ndarray
    own_inverse: np.ndarray
    half: np.ndarray
    common_root: np.ndarray
    residual: np.ndarray
    rows: RowsPosterior | None


@dataclass(frozen=True, slots=True, eq=False)
class RowsPosterior:
    """Of Rows: residual (n,) at the posterior mean; gain_own (n, J, P), gain_common (n, W + Q): what a unit of each
    innovation moves the means by, which is also Cov(coefficient, fitted row) after the rows."""

    residual: np.ndarray
    gain_own: np.ndarray
    gain_common: np.ndarray


def linear_posterior(
    outcome: np.ndarray,
    own: np.ndarray,
    shock_weight: np.ndarray | None,
    common: np.ndarray,
    shocks: ShockPrior | None,
    rows: Rows | None = None,
) -> LinearPosterior:
    """outcome (J, T), own (J, T, P), shock_weight (J, T) or None, common (J, T, Q); rows not recorded are 0 throughout.

    The log density is that of the outcome in units of noise: the caller subtracts log noise of every recorded cell.
    Raises numpy.linalg.LinAlgError where a matrix is not positive definite to working precision.
    """
    markets, _, width = own.shape
    own_t = own.transpose(0, 2, 1)
    crossed = own_t @ common
    if shock_weight is not None:
        crossed = np.concatenate([own_t * shock_weight[:, None, :], crossed], axis=2)
    gram = own_t @ own
    gram[:, np.arange(width), np.arange(width)] += 1.0
    own_inverse = np.linalg.inv(gram)
    half = own_inverse @ crossed
    size = crossed.shape[2]
    flat = crossed.reshape(markets * width, size)
    precision = _common_gram(shock_weight, common, shocks) - flat.T @ half.reshape(markets * width, size)
    own_right = np.einsum("jtp,jt->jp", own, outcome)
    right = np.einsum("jtq,jt->q", common, outcome)
    if shock_weight is not None:
        right = np.concatenate([(shock_weight * outcome).sum(axis=0), right])
    right = right - np.einsum("jpq,jp->q", half, own_right)
    root = linalg.cholesky(precision, lower=True, check_finite=False)
    covariance = _inverse(root)
    common_mean = covariance @ right
    own_mean = np.einsum("jpr,jr->jp", own_inverse, own_right) - half @ common_mean
    square = float((outcome**2).sum() - np.einsum("jp,jpr,jr->", own_right, own_inverse, own_right))
    square -= float(right @ common_mean)
    log_det = float(np.linalg.slogdet(gram)[1].sum()) + 2.0 * float(np.log(np.diag(root)).sum())
    log_det += shocks.log_determinant if shocks is not None else 0.0
    cross = (half.reshape(markets * width, size) @ covariance).reshape(half.shape)
    own_covariance = own_inverse + cross @ half.transpose(0, 2, 1)
    value, moments = -0.5 * (square + log_det), (own_mean, common_mean, own_covariance, cross, covariance)
    found = None
    if rows is not None:
        more, moments, found = _with_rows(rows, moments, own_inverse, half, size)
        value += more
    own_mean, common_mean, own_covariance, cross, covariance = moments
    fitted = np.einsum("jtp,jp->jt", own, own_mean) + _common_fit(shock_weight, common, common_mean)
    return LinearPosterior(
        value,
        own_mean,
        common_mean,
        own_covariance,
        cross,
        covariance,
        own_inverse,
        half,
        root,
        outcome - fitted,
        found,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Derivatives:
    """Of the log density: own (J, T, P) by own; common (J, T, k) by the last k common columns; square (J,): expected
    sum of squared errors, which log noise needs; shocks: moments of w; row_own (n, J, P), row_common (n, k)."""

    own: np.ndarray
    common: np.ndarray
    square: np.ndarray
    shocks: ShockMoments | None
    row_own: np.ndarray | None
    row_common: np.ndarray | None


def derivatives(
    posterior: LinearPosterior,
    own: np.ndarray,
    shock_weight: np.ndarray | None,
    common: np.ndarray,
    moving_common: int = 0,
) -> Derivatives:
    """Derivatives by all own columns and by the last `moving_common` common ones, at the posterior of these columns."""
    shocks_count = 0 if shock_weight is None else own.shape[1]
    cross, covariance, residual = posterior.cross, posterior.common_covariance, posterior.residual
    spread = own @ posterior.own_covariance - common @ cross[:, :, shocks_count:].transpose(0, 2, 1)
    if shock_weight is not None:
        spread -= shock_weight[:, :, None] * cross[:, :, :shocks_count].transpose(0, 2, 1)
    by_own = residual[:, :, None] * posterior.own_mean[:, None, :] - spread
    crossed = own.transpose(0, 2, 1) @ common
    variance = np.einsum("jtp,jtp->j", own, spread) - np.einsum(
        "jpq,jpq->j", crossed, cross[:, :, shocks_count:]
    )
    inner = covariance[shocks_count:, shocks_count:]
    variance += np.einsum("jtq,jtq->j", common @ inner, common)
    if shock_weight is not None:
        variance += shock_weight**2 @ np.diag(covariance)[:shocks_count]
        both = 2.0 * np.einsum("jtq,tq->jt", common, covariance[:shocks_count, shocks_count:])
        both -= np.einsum("jtp,jpt->jt", own, cross[:, :, :shocks_count])
        variance += (both * shock_weight).sum(axis=1)
    size = covariance.shape[0]
    moving = slice(size - moving_common, size)
    by_common = residual[:, :, None] * posterior.common_mean[moving] + own @ cross[:, :, moving]
    by_common -= common @ covariance[shocks_count:, moving]
    if shock_weight is not None:
        by_common -= shock_weight[:, :, None] * covariance[:shocks_count, moving]
    rows = posterior.rows
    return Derivatives(
        by_own,
        by_common,
        (residual**2).sum(axis=1) + variance,
        None if shock_weight is None else ShockMoments.of(posterior.common_mean, covariance, shocks_count),
        None if rows is None else rows.residual[:, None, None] * posterior.own_mean[None] - rows.gain_own,
        None
        if rows is None
        else rows.residual[:, None] * posterior.common_mean[moving] - rows.gain_common[:, moving],
    )


def _with_rows(rows: Rows, moments: tuple, own_inverse: np.ndarray, half: np.ndarray, size: int) -> tuple:
    """Log density of the rows given the rest, the moments after them, and RowsPosterior."""
    own_mean, common_mean, own_covariance, cross, covariance = moments
    count, markets, width = rows.own.shape
    along = np.zeros((count, size))
    along[:, size - rows.common.shape[1] :] = rows.common
    through = np.einsum("njp,jpq->nq", rows.own, half) - along
    to_own = np.einsum("jpr,njr->njp", own_inverse, rows.own)
    to_own += np.einsum("jpq,nq->njp", cross, through)
    to_common = -through @ covariance
    spread = np.einsum("njp,mjp->nm", rows.own, to_own) + along @ to_common.T + np.eye(count)
    innovation = rows.outcome - np.einsum("njp,jp->n", rows.own, own_mean) - along @ common_mean
    root = linalg.cholesky((spread + spread.T) / 2.0, lower=True)
    scaled = linalg.solve_triangular(root, innovation, lower=True)
    value = -0.5 * float(scaled @ scaled) - float(np.log(np.diag(root)).sum())
    value -= 0.5 * count * LOG_2PI + rows.log_error
    flat = np.concatenate([to_own.reshape(count, -1), to_common], axis=1)
    factor = linalg.solve_triangular(root, flat, lower=True)
    own_factor, common_factor = (
        factor[:, : markets * width].reshape(to_own.shape),
        factor[:, markets * width :],
    )
    gain = linalg.solve_triangular(root, factor, lower=True, trans="T")
    own_mean = own_mean + np.einsum("n,njp->jp", scaled, own_factor)
    common_mean = common_mean + scaled @ common_factor
    own_covariance = own_covariance - np.einsum("njp,njr->jpr", own_factor, own_factor)
    cross = cross + np.einsum("njp,nq->jpq", own_factor, common_factor)
    covariance = covariance - common_factor.T @ common_factor
    residual = rows.outcome - np.einsum("njp,jp->n", rows.own, own_mean) - along @ common_mean
    found = RowsPosterior(
        residual, gain[:, : markets * width].reshape(to_own.shape), gain[:, markets * width :]
    )
    return value, (own_mean, common_mean, own_covariance, cross, covariance), found


def _common_gram(
    shock_weight: np.ndarray | None, common: np.ndarray, shocks: ShockPrior | None
) -> np.ndarray:
    """Prior precision and sum_j B_j'B_j over (w, d)."""
    flat = common.reshape(-1, common.shape[2])
    inner = flat.T @ flat
    inner[np.diag_indices_from(inner)] += 1.0
    if shock_weight is None or shocks is None:
        return inner
    periods, count = shock_weight.shape[1], len(inner)
    gram = np.zeros((periods + count, periods + count))
    shocks.add_precision(gram)
    gram[np.arange(periods), np.arange(periods)] += (shock_weight**2).sum(axis=0)
    gram[:periods, periods:] = np.einsum("jt,jtq->tq", shock_weight, common)
    gram[periods:, :periods] = gram[:periods, periods:].T
    gram[periods:, periods:] = inner
    return gram


def _common_fit(shock_weight: np.ndarray | None, common: np.ndarray, mean: np.ndarray) -> np.ndarray:
    if shock_weight is None:
        return common @ mean
    periods = shock_weight.shape[1]
    return shock_weight * mean[:periods] + common @ mean[periods:]


def _inverse(root: np.ndarray) -> np.ndarray:
    """Inverse of the matrix whose lower Cholesky factor is given."""
    lower, _ = linalg.lapack.dpotri(root, lower=1)
    return np.where(np.tri(len(root), dtype=bool), lower, lower.T)
