"""Compiled exact draws of consumer effects: blocks of LANES consumers outside, draws inside, statistics read once.

Given a global draw and market effects m, with r = y - D c - Z m (c: fixed coefficients, moderators, market effects of
the slopes), S = L L', C = I + L'X'X L / s2 = K K' (studies/hbmmm.md, section 2):
    g = L K^-T (K^-1 L'X'r / s2 + z),   z standard normal,   P = L C^-1 L'
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.hbmmm.kernel import LANES


@njit(nogil=True, error_model="numpy")
def draw_coefficients(
    gram, outcome, stratum, market, features, segment_starts, market_columns, inverse_s2, factor, fixed, omega,
    market_effects, normal, coefficients, variances,
):  # fmt: skip
    """Fills coefficients (c, S, blocks * LANES): total coefficients of the moderated columns; and adds P_aa of every
    draw to variances (k, blocks * LANES).

    gram, outcome, stratum, market, features, segment_starts, market_columns: as in kernel.forward, of some blocks.
    inverse_s2 (S, strata), factor L (S, k, k), fixed (S, pD), omega (S, q), market_effects (S, J, r),
    normal (S, k, blocks * LANES): z.
    """
    blocks, width, r, _ = gram.shape
    draws, k = factor.shape[0], factor.shape[1]
    moderated = len(segment_starts) - 1
    residual = np.empty((k, LANES))
    row = np.empty(LANES)
    scale = np.empty(LANES)
    cross = np.empty((k, k, LANES))
    chol = np.empty((k, k, LANES))
    solved = np.empty((k, LANES))
    spread = np.empty((k, LANES))
    plain = np.empty((width - moderated, k * LANES))
    plain_fixed = np.ascontiguousarray(fixed[:, moderated:])
    for b in range(blocks):
        first = b * LANES
        for c in range(moderated, width):
            for a in range(k):
                for lane in range(LANES):
                    plain[c - moderated, a * LANES + lane] = gram[b, c, a, lane]
        rest = np.dot(plain_fixed, plain)
        for s in range(draws):
            for lane in range(LANES):
                scale[lane] = inverse_s2[s, stratum[b, lane]]
            for a in range(k):
                for lane in range(LANES):
                    residual[a, lane] = outcome[b, a, lane] - rest[s, a * LANES + lane]
            for column in range(moderated):
                for lane in range(LANES):
                    row[lane] = fixed[s, column]
                for q in range(segment_starts[column], segment_starts[column + 1]):
                    w = omega[s, q]
                    for lane in range(LANES):
                        row[lane] += w * features[b, q, lane]
                for lane in range(LANES):
                    coefficients[column, s, first + lane] = row[lane]
            for c in range(r):
                column = market_columns[c]
                for lane in range(LANES):
                    row[lane] = market_effects[s, max(market[b, lane], 0), c]
                if c < k:
                    for lane in range(LANES):
                        coefficients[column, s, first + lane] += row[lane]
                else:
                    for a in range(k):
                        for lane in range(LANES):
                            residual[a, lane] -= gram[b, column, a, lane] * row[lane]
            for column in range(moderated):
                for a in range(k):
                    for lane in range(LANES):
                        residual[a, lane] -= gram[b, column, a, lane] * coefficients[column, s, first + lane]
            # cross = L'X'X, chol of C = I + cross L / s2
            for i in range(k):
                for c in range(k):
                    for lane in range(LANES):
                        cross[i, c, lane] = 0.0
                    for j in range(i, k):
                        w = factor[s, j, i]
                        if w != 0.0:
                            for lane in range(LANES):
                                cross[i, c, lane] += w * gram[b, market_columns[j], c, lane]
            for i in range(k):
                for j in range(i + 1):
                    for lane in range(LANES):
                        row[lane] = 0.0
                    for c in range(j, k):
                        w = factor[s, c, j]
                        if w != 0.0:
                            for lane in range(LANES):
                                row[lane] += w * cross[i, c, lane]
                    for lane in range(LANES):
                        row[lane] *= scale[lane]
                    for c in range(j):
                        for lane in range(LANES):
                            row[lane] -= chol[i, c, lane] * chol[j, c, lane]
                    if i == j:
                        for lane in range(LANES):
                            chol[i, i, lane] = np.sqrt(1.0 + row[lane])
                    else:
                        for lane in range(LANES):
                            chol[i, j, lane] = row[lane] / chol[j, j, lane]
            for i in range(k):
                for lane in range(LANES):
                    row[lane] = 0.0
                for j in range(i, k):
                    w = factor[s, j, i]
                    if w != 0.0:
                        for lane in range(LANES):
                            row[lane] += w * residual[j, lane]
                for lane in range(LANES):
                    row[lane] *= scale[lane]
                for j in range(i):
                    for lane in range(LANES):
                        row[lane] -= chol[i, j, lane] * solved[j, lane]
                for lane in range(LANES):
                    solved[i, lane] = row[lane] / chol[i, i, lane]
            for i in range(k):
                for lane in range(LANES):
                    solved[i, lane] += normal[s, i, first + lane]
            for i in range(k - 1, -1, -1):
                for j in range(i + 1, k):
                    for lane in range(LANES):
                        solved[i, lane] -= chol[j, i, lane] * solved[j, lane]
                for lane in range(LANES):
                    solved[i, lane] /= chol[i, i, lane]
            for a in range(k):
                column = market_columns[a]
                for i in range(a + 1):
                    w = factor[s, a, i]
                    if w != 0.0:
                        for lane in range(LANES):
                            coefficients[column, s, first + lane] += w * solved[i, lane]
            # P_aa = |K^-1 L' e_a|^2
            for a in range(k):
                for i in range(k):
                    w = factor[s, a, i] if i <= a else 0.0
                    for lane in range(LANES):
                        row[lane] = w
                    for j in range(i):
                        for lane in range(LANES):
                            row[lane] -= chol[i, j, lane] * spread[j, lane]
                    for lane in range(LANES):
                        spread[i, lane] = row[lane] / chol[i, i, lane]
                        variances[a, first + lane] += spread[i, lane] * spread[i, lane]
