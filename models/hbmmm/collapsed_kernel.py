"""Compiled pass over all consumers for the collapsed likelihood (collapsed.py), in blocks of LANES of one market each.

Columns are the centred row columns D (d), X = slope_columns of them (m). With S = L L' the covariance of consumer
slopes, s2 the stratum's noise variance, C = I + L'X'X L / s2 = K K', Y = K^-1 L'X'D, y = K^-1 L'X'y:
    A = D'V^-1 D = (D'D - Y'Y / s2) / s2,   h = D'V^-1 y = (D'y - Y'y / s2) / s2
Summed by market against the products of features f_q f_q', A and h hold all that fixed and market effects need.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LANES = 256


@njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _dot(a, b):
    total = 0.0
    for lane in range(LANES):
        total += a[lane] * b[lane]
    return total


@njit(nogil=True, error_model="numpy")
def slope_pass(
    gram, outcome, stratum, block_market, features, slope_columns, entry, product, inverse_s2, factor,
    scale, cross, chol, weighted, information, products, sums,
):  # fmt: skip
    """Fills sums (J, wanted); returns (sum of log det C, sum of y'y / s2^2 over consumers).

    entry, product (wanted,): which row of [A's upper triangle; h] is summed against which product of features: in the
    paper's model a fifth of all combinations (263 of 1,260), and faster than a matrix product over all of them.

    gram (b, pairs, LANES): D'D, upper triangle row by row; outcome (b, d, LANES): D'y; stratum (b, LANES);
    block_market (b,); features (b, f, LANES), the first of them 1 (0 in empty lanes); slope_columns (m,): index of X in
    D; inverse_s2 (strata,); factor (m, m): L. Work arrays: scale (LANES,), cross (m, d, LANES), chol (m, m, LANES),
    weighted (m, LANES), information (pairs + d, LANES), products (f (f + 1) / 2, LANES).
    """
    blocks, width, _ = outcome.shape
    m = factor.shape[0]
    pairs = width * (width + 1) // 2
    log_det = 0.0
    quadratic = 0.0
    size = np.empty(LANES)
    for j in range(len(sums)):
        sums[j] = 0.0
    for b in range(blocks):
        for lane in range(LANES):
            scale[lane] = inverse_s2[stratum[b, lane]]
            size[lane] = 1.0
        for i in range(m):
            for c in range(width):
                for lane in range(LANES):
                    cross[i, c, lane] = 0.0
                for j in range(i, m):
                    w = factor[j, i]
                    if w != 0.0:
                        first, second = slope_columns[j], c
                        if first > second:
                            first, second = second, first
                        p = first * width - first * (first - 1) // 2 + second - first
                        for lane in range(LANES):
                            cross[i, c, lane] += w * gram[b, p, lane]
            for lane in range(LANES):
                weighted[i, lane] = 0.0
            for j in range(i, m):
                w = factor[j, i]
                for lane in range(LANES):
                    weighted[i, lane] += w * outcome[b, slope_columns[j], lane]
        for i in range(m):
            for j in range(i + 1):
                for lane in range(LANES):
                    chol[i, j, lane] = 0.0
                for c in range(j, m):
                    w = factor[c, j]
                    if w != 0.0:
                        for lane in range(LANES):
                            chol[i, j, lane] += w * cross[i, slope_columns[c], lane]
                for lane in range(LANES):
                    chol[i, j, lane] *= scale[lane]
                for c in range(j):
                    for lane in range(LANES):
                        chol[i, j, lane] -= chol[i, c, lane] * chol[j, c, lane]
                if i == j:
                    for lane in range(LANES):
                        chol[i, i, lane] = np.sqrt(1.0 + chol[i, i, lane])
                        size[lane] *= chol[i, i, lane]
                else:
                    for lane in range(LANES):
                        chol[i, j, lane] /= chol[j, j, lane]
        for lane in range(LANES):
            log_det += 2.0 * np.log(size[lane])
        for i in range(m):
            for j in range(i):
                for c in range(width):
                    for lane in range(LANES):
                        cross[i, c, lane] -= chol[i, j, lane] * cross[j, c, lane]
                for lane in range(LANES):
                    weighted[i, lane] -= chol[i, j, lane] * weighted[j, lane]
            for lane in range(LANES):
                size[lane] = 1.0 / chol[i, i, lane]
            for c in range(width):
                for lane in range(LANES):
                    cross[i, c, lane] *= size[lane]
            for lane in range(LANES):
                weighted[i, lane] *= size[lane]
        for lane in range(LANES):
            size[lane] = 0.0
        for i in range(m):
            for lane in range(LANES):
                size[lane] += weighted[i, lane] * weighted[i, lane]
        for lane in range(LANES):
            quadratic += size[lane] * scale[lane] * scale[lane]
        p = 0
        for a in range(width):
            for c in range(a, width):
                for lane in range(LANES):
                    size[lane] = 0.0
                for i in range(m):
                    for lane in range(LANES):
                        size[lane] += cross[i, a, lane] * cross[i, c, lane]
                for lane in range(LANES):
                    information[p, lane] = (gram[b, p, lane] - size[lane] * scale[lane]) * scale[lane]
                p += 1
        for a in range(width):
            for lane in range(LANES):
                size[lane] = 0.0
            for i in range(m):
                for lane in range(LANES):
                    size[lane] += cross[i, a, lane] * weighted[i, lane]
            for lane in range(LANES):
                information[pairs + a, lane] = (outcome[b, a, lane] - size[lane] * scale[lane]) * scale[lane]
        p = 0
        for q in range(features.shape[1]):
            for t in range(q, features.shape[1]):
                for lane in range(LANES):
                    products[p, lane] = features[b, q, lane] * features[b, t, lane]
                p += 1
        for w in range(len(entry)):
            sums[block_market[b], w] += _dot(information[entry[w]], products[product[w]])
    return log_det, quadratic
