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


@njit(error_model="numpy")
def forward(
    gram, outcome, inverse_s2, fixed, omega, features, segment_starts, market_columns,
    factor, residual, chol, cross, weighted, information, score,
):  # fmt: skip
    """First pass: fills residual R'r (b,r,l), chol K (b,k,k,l), cross Y (b,k,r,l), weighted y (b,k,l), information A
    (b,r,r,l) and score h (b,r,l); returns the sum of log det C.

    gram (b,pD,r,l) = D'R, outcome (b,r,l) = R'y, inverse_s2 (b,l), fixed d (pD,), omega (q,), features (b,q,l):
    moderator values; segment_starts (s+1,): moderators of row column c are segment_starts[c] to [c+1], and the
    columns from s on have none.
    """
    blocks, width, r, lanes = gram.shape
    k = factor.shape[0]
    moderated = len(segment_starts) - 1
    log_det = 0.0
    coefficient = np.empty(LANES)
    accumulator = np.empty(LANES)
    for b in range(blocks):
        for a in range(r):
            for l in range(LANES):
                residual[b, a, l] = outcome[b, a, l]
        for column in range(moderated):
            for l in range(LANES):
                coefficient[l] = fixed[column]
            for q in range(segment_starts[column], segment_starts[column + 1]):
                w = omega[q]
                for l in range(LANES):
                    coefficient[l] += w * features[b, q, l]
            for a in range(r):
                for l in range(LANES):
                    residual[b, a, l] -= gram[b, column, a, l] * coefficient[l]
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
            for l in range(LANES):
                accumulator[l] = 0.0
            for j in range(i, k):
                w = factor[j, i]
                for l in range(LANES):
                    accumulator[l] += w * residual[b, j, l]
            for l in range(LANES):
                weighted[b, i, l] = accumulator[l]
        # chol of C = I + (L'X'X) L / s2
        for i in range(k):
            for j in range(i + 1):
                for l in range(LANES):
                    accumulator[l] = 0.0
                for c in range(j, k):
                    w = factor[c, j]
                    if w != 0.0:
                        for l in range(LANES):
                            accumulator[l] += w * cross[b, i, c, l]
                for l in range(LANES):
                    accumulator[l] *= inverse_s2[b, l]
                for c in range(j):
                    for l in range(LANES):
                        accumulator[l] -= chol[b, i, c, l] * chol[b, j, c, l]
                if i == j:
                    for l in range(LANES):
                        chol[b, i, i, l] = np.sqrt(1.0 + accumulator[l])
                else:
                    for l in range(LANES):
                        chol[b, i, j, l] = accumulator[l] / chol[b, j, j, l]
        for i in range(k):
            for l in range(LANES):
                log_det += 2.0 * np.log(chol[b, i, i, l])
        # Y = K^-1 cross, y = K^-1 weighted
        for i in range(k):
            for j in range(i):
                for a in range(r):
                    for l in range(LANES):
                        cross[b, i, a, l] -= chol[b, i, j, l] * cross[b, j, a, l]
                for l in range(LANES):
                    weighted[b, i, l] -= chol[b, i, j, l] * weighted[b, j, l]
            for l in range(LANES):
                accumulator[l] = 1.0 / chol[b, i, i, l]
            for a in range(r):
                for l in range(LANES):
                    cross[b, i, a, l] *= accumulator[l]
            for l in range(LANES):
                weighted[b, i, l] *= accumulator[l]
        for a in range(r):
            for c in range(a + 1):
                for l in range(LANES):
                    accumulator[l] = 0.0
                for i in range(k):
                    for l in range(LANES):
                        accumulator[l] += cross[b, i, a, l] * cross[b, i, c, l]
                for l in range(LANES):
                    s = inverse_s2[b, l]
                    information[b, a, c, l] = (gram[b, market_columns[a], c, l] - accumulator[l] * s) * s
                if c < a:
                    for l in range(LANES):
                        information[b, c, a, l] = information[b, a, c, l]
            for l in range(LANES):
                accumulator[l] = 0.0
            for i in range(k):
                for l in range(LANES):
                    accumulator[l] += cross[b, i, a, l] * weighted[b, i, l]
            for l in range(LANES):
                s = inverse_s2[b, l]
                score[b, a, l] = (residual[b, a, l] - accumulator[l] * s) * s
    return log_det


@njit(error_model="numpy")
def solve_markets(information, score, market, scale, mean, half, scale_gradient):
    """Integrates the market effects out: fills mean m (J,r), half Z (J,r,r) and the gradient in b (r,); returns
    -1/2 sum log det M + 1/2 sum h'B M^-1 B h. market (b,l) is -1 in padding lanes."""
    blocks, r, _, lanes = information.shape
    markets = mean.shape[0]
    total = np.zeros((markets, r, r))
    sums = np.zeros((markets, r))
    for b in range(blocks):
        for l in range(lanes):
            j = market[b, l]
            if j >= 0:
                for a in range(r):
                    sums[j, a] += score[b, a, l]
                    for c in range(a + 1):
                        total[j, a, c] += information[b, a, c, l]
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
    blocks, width, r, lanes = gram.shape
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
        for l in range(LANES):
            j = max(market[b, l], 0)
            for a in range(r):
                effect[a, l] = market_mean[j, a]
                for c in range(a, r):
                    half[a, c, l] = market_half[j, a, c]
        for l in range(LANES):
            size[l] = -rows[b, l]
            trace[l] = 0.0
        for a in range(r):
            for l in range(LANES):
                row[l] = score[b, a, l]
            for c in range(r):
                for l in range(LANES):
                    row[l] -= information[b, a, c, l] * effect[c, l]
            for l in range(LANES):
                rest[a, l] = row[l]
                size[l] -= effect[a, l] * (score[b, a, l] + row[l])
            for c in range(r):
                for l in range(LANES):
                    row[l] = 0.0
                for i in range(c + 1):
                    for l in range(LANES):
                        row[l] += information[b, a, i, l] * half[i, c, l]
                for l in range(LANES):
                    product[a, c, l] = row[l]
                if c >= a:
                    for l in range(LANES):
                        size[l] += half[a, c, l] * row[l]
        for a in range(k):
            for c in range(a + 1):
                for l in range(LANES):
                    row[l] = rest[a, l] * rest[c, l] - information[b, a, c, l]
                for i in range(r):
                    for l in range(LANES):
                        row[l] += product[a, i, l] * product[c, i, l]
                w = covariance[a, c] * (0.5 if a == c else 1.0)
                for l in range(LANES):
                    outer[a, c, l] += 0.5 * row[l]
                    trace[l] += w * row[l]
        for l in range(LANES):
            t = 0.0
            for i in range(k):
                t += weighted[b, i, l] * weighted[b, i, l]
            quadratic[stratum[b, l]] += t * inverse_s2[b, l] * inverse_s2[b, l]
            s2_gradient[stratum[b, l]] += (0.5 * size[l] - trace[l]) * inverse_s2[b, l]
        # posterior mean of the consumer effect: L K^-T (y - Y m) / s2, added to the market effect
        for i in range(k):
            for l in range(LANES):
                row[l] = weighted[b, i, l]
            for a in range(r):
                for l in range(LANES):
                    row[l] -= cross[b, i, a, l] * effect[a, l]
            for l in range(LANES):
                solved[i, l] = row[l] * inverse_s2[b, l]
        for i in range(k - 1, -1, -1):
            for l in range(LANES):
                row[l] = solved[i, l]
            for j in range(i + 1, k):
                for l in range(LANES):
                    row[l] -= chol[b, j, i, l] * solved[j, l]
            for l in range(LANES):
                solved[i, l] = row[l] / chol[b, i, i, l]
        for a in range(k):
            for i in range(a + 1):
                w = factor[a, i]
                if w != 0.0:
                    for l in range(LANES):
                        effect[a, l] += w * solved[i, l]
        for a in range(r):
            for l in range(LANES):
                effect[a, l] *= inverse_s2[b, l]
        for column in range(moderated):
            for l in range(LANES):
                row[l] = 0.0
            for a in range(r):
                for l in range(LANES):
                    row[l] += gram[b, column, a, l] * effect[a, l]
            for l in range(LANES):
                fixed_lanes[column, l] += row[l]
            for q in range(segment_starts[column], segment_starts[column + 1]):
                for l in range(LANES):
                    omega_lanes[q, l] += features[b, q, l] * row[l]
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


@njit(error_model="numpy")
def draw_consumers(
    inverse_s2, market, factor, chol, cross, weighted, market_draw, normal, mean, draw, learned
):
    """Exact draw of every consumer's effect given one global draw and its market's effect (studies/hbmmm.md section 2):
    g = L K^-T ((y - Y m) / s2 + z). Fills mean (b,k,l), draw (b,k,l) and learned (b,k,l), the variances P_cc."""
    blocks, k, r, lanes = cross.shape
    solved = np.empty((k, lanes))
    noise = np.empty((k, lanes))
    spread = np.empty((k, lanes))
    for b in range(blocks):
        for i in range(k):
            for l in range(lanes):
                j = max(market[b, l], 0)
                t = weighted[b, i, l]
                for a in range(r):
                    t -= cross[b, i, a, l] * market_draw[j, a]
                solved[i, l] = t * inverse_s2[b, l]
                noise[i, l] = normal[b, i, l]
        for i in range(k - 1, -1, -1):
            for j in range(i + 1, k):
                for l in range(lanes):
                    solved[i, l] -= chol[b, j, i, l] * solved[j, l]
                    noise[i, l] -= chol[b, j, i, l] * noise[j, l]
            for l in range(lanes):
                solved[i, l] /= chol[b, i, i, l]
                noise[i, l] /= chol[b, i, i, l]
        for a in range(k):
            for l in range(lanes):
                mean[b, a, l] = 0.0
                draw[b, a, l] = 0.0
            for i in range(a + 1):
                w = factor[a, i]
                if w != 0.0:
                    for l in range(lanes):
                        mean[b, a, l] += w * solved[i, l]
                        draw[b, a, l] += w * (solved[i, l] + noise[i, l])
        # P_aa = |K^-1 L' e_a|^2
        for a in range(k):
            for l in range(lanes):
                learned[b, a, l] = 0.0
            for i in range(k):
                for l in range(lanes):
                    spread[i, l] = factor[a, i] if i <= a else 0.0
                for j in range(i):
                    for l in range(lanes):
                        spread[i, l] -= chol[b, i, j, l] * spread[j, l]
                for l in range(lanes):
                    spread[i, l] /= chol[b, i, i, l]
                    learned[b, a, l] += spread[i, l] * spread[i, l]
