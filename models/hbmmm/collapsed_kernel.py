"""Compiled pass over all consumers for the collapsed likelihood (collapsed.py), in blocks of LANES of one market each.

Columns are the centred row columns D (d), X = slope_columns of them (m). With S = L L' the covariance of consumer
slopes, s2 the stratum's noise variance, C = I + L'X'X L / s2 = K K', T = K^-1 L':
    A = D'V^-1 D = (D'D - Y'Y / s2) / s2,   Y = T X'D,   h = D'V^-1 y = (D'y - Y'u / s2) / s2,   u = T X'y
Summed by market against the products of features f_q f_q', A and h hold all that fixed and market effects need.

The number of slopes is a constant of the compiled code: sums over it are unrolled inside the loop over lanes, which
then reads memory once where a loop per term would pass it m times.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import njit

LANES = 64  # work arrays of a block fit the first-level cache
FAST = {"reassoc", "contract"}


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def _dot(a, b):
    total = 0.0
    for lane in range(LANES):
        total += a[lane] * b[lane]
    return total


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def _four_dots(a, b0, b1, b2, b3):
    t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
    for lane in range(LANES):
        t0 += a[lane] * b0[lane]
        t1 += a[lane] * b1[lane]
        t2 += a[lane] * b2[lane]
        t3 += a[lane] * b3[lane]
    return t0, t1, t2, t3


def work_arrays(m: int, width: int, features_count: int) -> tuple[np.ndarray, ...]:
    """Scratch of a thread, by LANES: scale, X'[D, y] (m, d + 1), three (m, m), [Y, u] (m, d + 1), A and h, products."""
    shapes = ((), (m, width + 1), (m, m), (m, m), (m, m), (m, width + 1))
    triangle = features_count * (features_count + 1) // 2
    return tuple(
        np.zeros((*shape, LANES)) for shape in (*shapes, (width * (width + 1) // 2 + width,), (triangle,))
    )


@functools.lru_cache(maxsize=8)
def slope_pass_of(m: int) -> Callable:
    """The compiled pass for m random slopes."""

    @njit(nogil=True, error_model="numpy", fastmath=FAST)
    def slope_pass(
        gram, outcome, stratum, block_market, features, pairs, slope_columns, entry, product, runs, inverse_s2, factor,
        scale, own, inner, chol, inverse, cross, information, products, sums,
    ):  # fmt: skip
        """Fills sums (J, wanted); returns (sum of log det C, sum of u'u / s2^2 over consumers).

        entry, product (wanted,): which row of [A's upper triangle; h] is summed against which product of features: in
        the paper's model a fifth of all combinations (263 of 1,260), and faster than a matrix product over all of them.
        runs (u, 2): stretches [from, to) of one entry each.

        gram (b, pairs, LANES): D'D, upper triangle row by row; outcome (b, d, LANES): D'y; stratum (b, LANES);
        block_market (b,); features (b, f, LANES), the first of them 1 (0 in empty lanes); pairs (d, d): row of gram of
        two columns; slope_columns (m,): index of X in D; inverse_s2 (strata,); factor (m, m): L.
        The rest are work_arrays.
        """
        blocks, width, _ = outcome.shape
        triangle = width * (width + 1) // 2
        log_det = 0.0
        quadratic = 0.0
        size = np.empty(LANES)
        for j in range(len(sums)):
            sums[j] = 0.0
        for b in range(blocks):
            for lane in range(LANES):
                scale[lane] = inverse_s2[stratum[b, lane]]
                size[lane] = 1.0
            for j in range(m):
                for c in range(width):
                    own[j, c] = gram[b, pairs[slope_columns[j], c]]
                own[j, width] = outcome[b, slope_columns[j]]
            # inner = L'X'X, then C = I + inner L / s2 and its factor K
            for i in range(m):
                for c in range(m):
                    second = slope_columns[c]
                    for lane in range(LANES):
                        t = 0.0
                        for j in range(m):
                            t += factor[j, i] * own[j, second, lane]
                        inner[i, c, lane] = t
            for i in range(m):
                for j in range(i + 1):
                    for lane in range(LANES):
                        t = 0.0
                        for c in range(m):
                            t += factor[c, j] * inner[i, c, lane]
                        chol[i, j, lane] = t * scale[lane]
                    for c in range(j):
                        for lane in range(LANES):
                            chol[i, j, lane] -= chol[i, c, lane] * chol[j, c, lane]
                    if i == j:
                        for lane in range(LANES):
                            root = np.sqrt(1.0 + chol[i, i, lane])
                            size[lane] *= root
                            chol[i, i, lane] = 1.0 / root  # the diagonal is kept inverted
                    else:
                        for lane in range(LANES):
                            chol[i, j, lane] *= chol[j, j, lane]
            for lane in range(0, LANES, 8):  # a logarithm for eight consumers
                log_det += 2.0 * np.log(
                    ((size[lane] * size[lane + 1]) * (size[lane + 2] * size[lane + 3]))
                    * ((size[lane + 4] * size[lane + 5]) * (size[lane + 6] * size[lane + 7]))
                )
            # inverse = T = K^-1 L', row by row: K_ii T_i = L'_i - sum_j<i K_ij T_j
            for i in range(m):
                for c in range(m):
                    w = factor[c, i]
                    for lane in range(LANES):
                        inverse[i, c, lane] = w
                    for j in range(i):
                        for lane in range(LANES):
                            inverse[i, c, lane] -= chol[i, j, lane] * inverse[j, c, lane]
                    for lane in range(LANES):
                        inverse[i, c, lane] *= chol[i, i, lane]
            for i in range(m):
                for c in range(width + 1):
                    for lane in range(LANES):
                        t = 0.0
                        for j in range(m):
                            t += inverse[i, j, lane] * own[j, c, lane]
                        cross[i, c, lane] = t
            for lane in range(LANES):
                t = 0.0
                for i in range(m):
                    t += cross[i, width, lane] * cross[i, width, lane]
                quadratic += t * scale[lane] * scale[lane]
            p = 0
            for a in range(width):
                for c in range(a, width):
                    for lane in range(LANES):
                        t = 0.0
                        for i in range(m):
                            t += cross[i, a, lane] * cross[i, c, lane]
                        information[p, lane] = (gram[b, p, lane] - t * scale[lane]) * scale[lane]
                    p += 1
                for lane in range(LANES):
                    t = 0.0
                    for i in range(m):
                        t += cross[i, a, lane] * cross[i, width, lane]
                    information[triangle + a, lane] = (outcome[b, a, lane] - t * scale[lane]) * scale[lane]
            p = 0
            for q in range(features.shape[1]):
                for t in range(q, features.shape[1]):
                    for lane in range(LANES):
                        products[p, lane] = features[b, q, lane] * features[b, t, lane]
                    p += 1
            total = sums[block_market[b]]
            for u in range(len(runs)):
                row = information[entry[runs[u, 0]]]
                w, end = runs[u, 0], runs[u, 1]
                while w + 4 <= end:
                    t0, t1, t2, t3 = _four_dots(
                        row,
                        products[product[w]],
                        products[product[w + 1]],
                        products[product[w + 2]],
                        products[product[w + 3]],
                    )
                    total[w] += t0
                    total[w + 1] += t1
                    total[w + 2] += t2
                    total[w + 3] += t3
                    w += 4
                while w < end:
                    total[w] += _dot(row, products[product[w]])
                    w += 1
        return log_det, quadratic

    return slope_pass
