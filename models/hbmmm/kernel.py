"""Compiled inner loops of the marginal likelihood, over blocks of LANES consumers (last axis of every block array).

Notation of studies/hbmmm.md section 2 with R = [X, covariates], S = L L', s2 the noise variance of the consumer's
stratum, C = I + L'X'X L / s2 = K K':
    V = s2 I + X S X',   V^-1 = (I - X L C^-1 L'X' / s2) / s2
    Y = K^-1 L'X'R (k, r),   y = K^-1 L'X'r (k),   r = outcome - F beta
    A = R'V^-1 R = (R'R - Y'Y / s2) / s2,   h = R'V^-1 r = (R'r - Y'y / s2) / s2
Market effects m ~ N(0, B^2), B = diag(b): M = I + B (sum A) B, mean m = B M^-1 B (sum h), covariance Z Z' with
Z = B chol(M)^-T. Standard deviations enter signed (L and B may have negative entries): only their squares matter,
so that the posterior of a small one is smooth through zero.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LANES = 128  # long inner loops: 2.4 ms a gradient on 2,300 consumers against 6.1 ms with 32 (measured)


@njit(nogil=True, error_model="numpy")
def forward(
    gram, outcome, inverse_s2, fixed, omega, features, segment_starts, market_columns,
    factor, residual, chol, cross, weighted, information, score,
):  # fmt: skip
    """First pass over all consumers; returns the sum of log det C. Shapes leave out the last axis, LANES.

    Fills residual R'r (b,r), chol K (b,k,k), cross Y (b,k,r), weighted y (b,k), information A (b,r,r), score h (b,r).
    gram (b,pD,r) = D'R, outcome (b,r) = R'y, inverse_s2 (b,), fixed d (pD,), omega (q,), features (b,q): moderator
    values; segment_starts (s+1,): moderators of row column c are segment_starts[c] to [c+1], and the
    columns from s on have none.
    """
    blocks, width, r, _ = gram.shape
    k = factor.shape[0]
    moderated = len(segment_starts) - 1
    log_det = 0.0
    coefficient = np.empty(LANES)
    accumulator = np.empty(LANES)
    for b in range(blocks):
        for a in range(r):
            for lane in range(LANES):
                residual[b, a, lane] = outcome[b, a, lane]
        for column in range(moderated):
            for lane in range(LANES):
                coefficient[lane] = fixed[column]
            for q in range(segment_starts[column], segment_starts[column + 1]):
                w = omega[q]
                for lane in range(LANES):
                    coefficient[lane] += w * features[b, q, lane]
            for a in range(r):
                for lane in range(LANES):
                    residual[b, a, lane] -= gram[b, column, a, lane] * coefficient[lane]
        if moderated < width:
            flat = residual[b].reshape(r * LANES)
            flat -= np.dot(fixed[moderated:], gram[b, moderated:].reshape(width - moderated, r * LANES))
        # cross = L' X'R ; weighted = L' X'r
        for i in range(k):
            flat = cross[b, i].reshape(r * LANES)
            for t in range(r * LANES):
                flat[t] = 0.0
            for j in range(i, k):
                w = factor[j, i]
                if w != 0.0:
                    source = gram[b, market_columns[j]].reshape(r * LANES)
                    for t in range(r * LANES):
                        flat[t] += w * source[t]
            for lane in range(LANES):
                accumulator[lane] = 0.0
            for j in range(i, k):
                w = factor[j, i]
                for lane in range(LANES):
                    accumulator[lane] += w * residual[b, j, lane]
            for lane in range(LANES):
                weighted[b, i, lane] = accumulator[lane]
        # chol of C = I + (L'X'X) L / s2
        for i in range(k):
            for j in range(i + 1):
                for lane in range(LANES):
                    accumulator[lane] = 0.0
                for c in range(j, k):
                    w = factor[c, j]
                    if w != 0.0:
                        for lane in range(LANES):
                            accumulator[lane] += w * cross[b, i, c, lane]
                for lane in range(LANES):
                    accumulator[lane] *= inverse_s2[b, lane]
                for c in range(j):
                    for lane in range(LANES):
                        accumulator[lane] -= chol[b, i, c, lane] * chol[b, j, c, lane]
                if i == j:
                    for lane in range(LANES):
                        chol[b, i, i, lane] = np.sqrt(1.0 + accumulator[lane])
                else:
                    for lane in range(LANES):
                        chol[b, i, j, lane] = accumulator[lane] / chol[b, j, j, lane]
        for i in range(k):
            for lane in range(LANES):
                log_det += 2.0 * np.log(chol[b, i, i, lane])
        # Y = K^-1 cross, y = K^-1 weighted
        for i in range(k):
            for j in range(i):
                for a in range(r):
                    for lane in range(LANES):
                        cross[b, i, a, lane] -= chol[b, i, j, lane] * cross[b, j, a, lane]
                for lane in range(LANES):
                    weighted[b, i, lane] -= chol[b, i, j, lane] * weighted[b, j, lane]
            for lane in range(LANES):
                accumulator[lane] = 1.0 / chol[b, i, i, lane]
            for a in range(r):
                for lane in range(LANES):
                    cross[b, i, a, lane] *= accumulator[lane]
            for lane in range(LANES):
                weighted[b, i, lane] *= accumulator[lane]
        for a in range(r):
            for c in range(a + 1):
                for lane in range(LANES):
                    accumulator[lane] = 0.0
                for i in range(k):
                    for lane in range(LANES):
                        accumulator[lane] += cross[b, i, a, lane] * cross[b, i, c, lane]
                for lane in range(LANES):
                    s = inverse_s2[b, lane]
                    information[b, a, c, lane] = (
                        gram[b, market_columns[a], c, lane] - accumulator[lane] * s
                    ) * s
                if c < a:
                    for lane in range(LANES):
                        information[b, c, a, lane] = information[b, a, c, lane]
            for lane in range(LANES):
                accumulator[lane] = 0.0
            for i in range(k):
                for lane in range(LANES):
                    accumulator[lane] += cross[b, i, a, lane] * weighted[b, i, lane]
            for lane in range(LANES):
                s = inverse_s2[b, lane]
                score[b, a, lane] = (residual[b, a, lane] - accumulator[lane] * s) * s
    return log_det


@njit(nogil=True, error_model="numpy")
def sum_by_market(information, score, market, total, sums):
    """Adds A to total (J,r,r), lower triangle, and h to sums (J,r). market (b,lane) is -1 in padding lanes."""
    blocks, r, _, lanes = information.shape
    for b in range(blocks):
        for lane in range(lanes):
            j = market[b, lane]
            if j >= 0:
                for a in range(r):
                    sums[j, a] += score[b, a, lane]
                    for c in range(a + 1):
                        total[j, a, c] += information[b, a, c, lane]


@njit(error_model="numpy")
def solve_markets(information, score, market, scale, mean, half, scale_gradient):
    """integrate_markets of the sums over all consumers."""
    r = information.shape[1]
    total = np.zeros((mean.shape[0], r, r))
    sums = np.zeros((mean.shape[0], r))
    sum_by_market(information, score, market, total, sums)
    return integrate_markets(total, sums, scale, mean, half, scale_gradient)


@njit(error_model="numpy")
def integrate_markets(total, sums, scale, mean, half, scale_gradient):
    """Integrates the market effects out: fills mean m (J,r), half Z (J,r,r) and the gradient in b (r,); returns
    -1/2 sum log det M + 1/2 sum h'B M^-1 B h. total (J,r,r): sums of A, whose lower triangle is read, and mirrored."""
    markets, r = mean.shape
    value = 0.0
    k = np.empty((r, r))
    z = np.empty(r)
    for a in range(r):
        scale_gradient[a] = 0.0
    for j in range(markets):
        for a in range(r):
            for c in range(a):
                total[j, c, a] = total[j, a, c]
        for a in range(r):
            for c in range(a + 1):
                t = scale[a] * scale[c] * total[j, a, c] + (1.0 if a == c else 0.0)
                for i in range(c):
                    t -= k[a, i] * k[c, i]
                k[a, c] = np.sqrt(t) if a == c else t / k[c, c]
            value -= np.log(k[a, a])
        for a in range(r):
            t = scale[a] * sums[j, a]
            for i in range(a):
                t -= k[a, i] * z[i]
            z[a] = t / k[a, a]
            value += 0.5 * z[a] * z[a]
        # half = B K^-T: columns of K^-1 transposed, upper triangular
        for c in range(r):
            for a in range(r):
                half[j, a, c] = 0.0
        for a in range(r):  # row a of half, solves x K' = e_a
            for c in range(a, r):
                t = 1.0 if a == c else 0.0
                for i in range(a, c):
                    t -= half[j, a, i] * k[c, i]
                half[j, a, c] = t / k[c, c]
        for a in range(r):
            t = 0.0
            for c in range(a, r):
                half[j, a, c] *= scale[a]
                t += half[j, a, c] * z[c]
            mean[j, a] = t
        for a in range(r):
            rest = sums[j, a]
            for c in range(r):
                rest -= total[j, a, c] * mean[j, c]
            curvature = total[j, a, a]
            for c in range(r):
                t = 0.0
                for i in range(c + 1):
                    t += total[j, a, i] * half[j, i, c]
                curvature -= t * t
            scale_gradient[a] += scale[a] * (rest * rest - curvature)
    return value


@njit(error_model="numpy")
def backward(
    gram, inverse_s2, rows, stratum, market, features, segment_starts, factor,
    chol, cross, weighted, information, score, market_mean, market_half,
    fixed_gradient, omega_gradient, cov_gradient, s2_gradient, quadratic,
):  # fmt: skip
    """Second pass: fills the gradients in d (pD,), omega (q,), S (k,k), s2 (strata,) without the parts that come
    from constants (model.py adds them), and quadratic (strata,) = sum of |y|^2 / s2^2."""
    blocks, width, r, _ = gram.shape
    k = factor.shape[0]
    moderated = len(segment_starts) - 1
    plain = np.zeros(width - moderated)
    covariance = factor @ factor.T
    effect = np.empty((r, LANES))
    half = np.empty((r, r, LANES))
    rest = np.empty((r, LANES))
    product = np.empty((r, r, LANES))
    solved = np.empty((k, LANES))
    row = np.empty(LANES)
    trace = np.empty(LANES)
    size = np.empty(LANES)
    outer = np.zeros((k, k, LANES))
    fixed_lanes = np.zeros((moderated, LANES))
    omega_lanes = np.zeros((features.shape[1], LANES))
    for s in range(len(s2_gradient)):
        s2_gradient[s] = 0.0
        quadratic[s] = 0.0
    for b in range(blocks):
        for lane in range(LANES):
            j = max(market[b, lane], 0)
            for a in range(r):
                effect[a, lane] = market_mean[j, a]
                for c in range(a, r):
                    half[a, c, lane] = market_half[j, a, c]
        for lane in range(LANES):
            size[lane] = -rows[b, lane]
            trace[lane] = 0.0
        for a in range(r):
            for lane in range(LANES):
                row[lane] = score[b, a, lane]
            for c in range(r):
                for lane in range(LANES):
                    row[lane] -= information[b, a, c, lane] * effect[c, lane]
            for lane in range(LANES):
                rest[a, lane] = row[lane]
                size[lane] -= effect[a, lane] * (score[b, a, lane] + row[lane])
            for c in range(r):
                for lane in range(LANES):
                    row[lane] = 0.0
                for i in range(c + 1):
                    for lane in range(LANES):
                        row[lane] += information[b, a, i, lane] * half[i, c, lane]
                for lane in range(LANES):
                    product[a, c, lane] = row[lane]
                if c >= a:
                    for lane in range(LANES):
                        size[lane] += half[a, c, lane] * row[lane]
        for a in range(k):
            for c in range(a + 1):
                for lane in range(LANES):
                    row[lane] = rest[a, lane] * rest[c, lane] - information[b, a, c, lane]
                for i in range(r):
                    for lane in range(LANES):
                        row[lane] += product[a, i, lane] * product[c, i, lane]
                w = covariance[a, c] * (0.5 if a == c else 1.0)
                for lane in range(LANES):
                    outer[a, c, lane] += 0.5 * row[lane]
                    trace[lane] += w * row[lane]
        for lane in range(LANES):
            t = 0.0
            for i in range(k):
                t += weighted[b, i, lane] * weighted[b, i, lane]
            quadratic[stratum[b, lane]] += t * inverse_s2[b, lane] * inverse_s2[b, lane]
            s2_gradient[stratum[b, lane]] += (0.5 * size[lane] - trace[lane]) * inverse_s2[b, lane]
        # posterior mean of the consumer effect: L K^-T (y - Y m) / s2, added to the market effect
        for i in range(k):
            for lane in range(LANES):
                row[lane] = weighted[b, i, lane]
            for a in range(r):
                for lane in range(LANES):
                    row[lane] -= cross[b, i, a, lane] * effect[a, lane]
            for lane in range(LANES):
                solved[i, lane] = row[lane] * inverse_s2[b, lane]
        for i in range(k - 1, -1, -1):
            for lane in range(LANES):
                row[lane] = solved[i, lane]
            for j in range(i + 1, k):
                for lane in range(LANES):
                    row[lane] -= chol[b, j, i, lane] * solved[j, lane]
            for lane in range(LANES):
                solved[i, lane] = row[lane] / chol[b, i, i, lane]
        for a in range(k):
            for i in range(a + 1):
                w = factor[a, i]
                if w != 0.0:
                    for lane in range(LANES):
                        effect[a, lane] += w * solved[i, lane]
        for a in range(r):
            for lane in range(LANES):
                effect[a, lane] *= inverse_s2[b, lane]
        for column in range(moderated):
            for lane in range(LANES):
                row[lane] = 0.0
            for a in range(r):
                for lane in range(LANES):
                    row[lane] += gram[b, column, a, lane] * effect[a, lane]
            for lane in range(LANES):
                fixed_lanes[column, lane] += row[lane]
            for q in range(segment_starts[column], segment_starts[column + 1]):
                for lane in range(LANES):
                    omega_lanes[q, lane] += features[b, q, lane] * row[lane]
        if moderated < width:
            plain += np.dot(
                gram[b, moderated:].reshape(width - moderated, r * LANES), effect.reshape(r * LANES)
            )
    for c in range(moderated):
        fixed_gradient[c] = -fixed_lanes[c].sum()
    for c in range(moderated, width):
        fixed_gradient[c] = -plain[c - moderated]
    for q in range(features.shape[1]):
        omega_gradient[q] = -omega_lanes[q].sum()
    for a in range(k):
        for c in range(a + 1):
            cov_gradient[a, c] = outer[a, c].sum()
            cov_gradient[c, a] = cov_gradient[a, c]
