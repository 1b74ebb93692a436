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


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def _add_four(target, w0, w1, w2, w3, b0, b1, b2, b3):
    for lane in range(LANES):
        target[lane] += (w0 * b0[lane] + w1 * b1[lane]) + (w2 * b2[lane] + w3 * b3[lane])


def work_arrays(m: int, width: int, features_count: int) -> tuple[np.ndarray, ...]:
    """Scratch of a thread, by LANES: scale, X'[D, y] (m, d + 1), three (m, m), [Y, u] (m, d + 1), A and h, products,
    u'u."""
    shapes = ((), (m, width + 1), (m, m), (m, m), (m, m), (m, width + 1))
    triangle = features_count * (features_count + 1) // 2
    return tuple(
        np.zeros((*shape, LANES)) for shape in (*shapes, (width * (width + 1) // 2 + width,), (triangle,), ())
    )


@functools.lru_cache(maxsize=8)
def block_information_of(m: int) -> Callable:
    """The compiled function that fills A, h and u'u of a block, for m random slopes."""

    @njit(nogil=True, error_model="numpy", fastmath=FAST)
    def block_information(
        gram, outcome, pairs, slope_columns, factor, scale, own, inner, chol, inverse, cross, information, square,
    ):  # fmt: skip
        """Fills information (pairs + d, LANES): [A's upper triangle; h], and square (LANES,): u'u / s2^2; returns the
        sum of log det C. gram (pairs, LANES), outcome (d, LANES); scale (LANES,): 1 / s2."""
        width = outcome.shape[0]
        triangle = width * (width + 1) // 2
        log_det = 0.0
        for lane in range(LANES):
            square[lane] = 1.0
        for j in range(m):
            for c in range(width):
                own[j, c] = gram[pairs[slope_columns[j], c]]
            own[j, width] = outcome[slope_columns[j]]
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
                        square[lane] *= root
                        chol[i, i, lane] = 1.0 / root  # the diagonal is kept inverted
                else:
                    for lane in range(LANES):
                        chol[i, j, lane] *= chol[j, j, lane]
        for lane in range(0, LANES, 8):  # a logarithm for eight consumers
            log_det += 2.0 * np.log(
                ((square[lane] * square[lane + 1]) * (square[lane + 2] * square[lane + 3]))
                * ((square[lane + 4] * square[lane + 5]) * (square[lane + 6] * square[lane + 7]))
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
            square[lane] = t * scale[lane] * scale[lane]
        p = 0
        for a in range(width):
            for c in range(a, width):
                for lane in range(LANES):
                    t = 0.0
                    for i in range(m):
                        t += cross[i, a, lane] * cross[i, c, lane]
                    information[p, lane] = (gram[p, lane] - t * scale[lane]) * scale[lane]
                p += 1
            for lane in range(LANES):
                t = 0.0
                for i in range(m):
                    t += cross[i, a, lane] * cross[i, width, lane]
                information[triangle + a, lane] = (outcome[a, lane] - t * scale[lane]) * scale[lane]
        return log_det

    return block_information


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def _feature_products(features, products):
    p = 0
    for q in range(len(features)):
        for t in range(q, len(features)):
            for lane in range(LANES):
                products[p, lane] = features[q, lane] * features[t, lane]
            p += 1


@functools.lru_cache(maxsize=8)
def slope_pass_of(m: int) -> Callable:
    """The compiled pass for m random slopes."""
    block_information = block_information_of(m)

    @njit(nogil=True, error_model="numpy", fastmath=FAST)
    def slope_pass(
        gram, outcome, stratum, block_market, features, pairs, slope_columns, entry, product, runs, inverse_s2, factor,
        scale, own, inner, chol, inverse, cross, information, products, square, sums,
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
        log_det = 0.0
        quadratic = 0.0
        for j in range(len(sums)):
            sums[j] = 0.0
        for b in range(len(gram)):
            for lane in range(LANES):
                scale[lane] = inverse_s2[stratum[b, lane]]
            log_det += block_information(
                gram[b], outcome[b], pairs, slope_columns, factor, scale, own, inner, chol, inverse, cross, information,
                square,
            )  # fmt: skip
            for lane in range(LANES):
                quadratic += square[lane]
            _feature_products(features[b], products)
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


@functools.lru_cache(maxsize=8)
def gradient_pass_of(m: int, width: int) -> Callable:
    """The compiled pass of the gradient for m random slopes of `width` columns, the reverse of slope_pass."""
    block_information = block_information_of(m)

    @njit(nogil=True, error_model="numpy", fastmath=FAST)
    def gradient_pass(
        gram, outcome, stratum, block_market, features, pairs, slope_columns, entry, product, runs, inverse_s2, factor,
        scale, own, inner, chol, inverse, cross, information, products, square, adjoint, cov_gradient, noise_gradient,
    ):  # fmt: skip
        """Fills cov_gradient (m, m): in S, and noise_gradient (strata,): in log noise sd, without what within_rows and
        within_square add. adjoint (J, wanted): gradient in the sums of slope_pass.

        With P = D'V^-1 X (columns of A), g = X'V^-1 y (entries of h) and adjoints M of A (symmetric) and n of h:
            in S:             -B / 2 + gg' / 2 - P'MP - (P'n g' + g n'P) / 2,   B = X'V^-1 X
            in log noise sd:  2 [(y'V^-1 y - (T - 1)) / 2 - <M, A> - n'h - <S, gradient in S>]
        because dV^-1 = -V^-1 dV V^-1 and V^-2 = V^-1 (I - X S X'V^-1) / s2.
        """
        triangle = width * (width + 1) // 2
        covariance = factor @ factor.T
        along = np.empty((triangle + width, LANES))
        both = np.empty((width, width, LANES))
        columns = np.empty((width, m, LANES))
        right = np.empty((width, m, LANES))
        slope = np.empty((m, LANES))
        outer = np.zeros((m, m, LANES))
        noise = np.empty(LANES)
        for s in range(len(noise_gradient)):
            noise_gradient[s] = 0.0
        for b in range(len(gram)):
            for lane in range(LANES):
                scale[lane] = inverse_s2[stratum[b, lane]]
            block_information(
                gram[b], outcome[b], pairs, slope_columns, factor, scale, own, inner, chol, inverse, cross, information,
                square,
            )  # fmt: skip
            _feature_products(features[b], products)
            weight = adjoint[block_market[b]]
            along[:] = 0.0
            for u in range(len(runs)):
                target = along[entry[runs[u, 0]]]
                w, end = runs[u, 0], runs[u, 1]
                while w + 4 <= end:
                    _add_four(
                        target,
                        weight[w],
                        weight[w + 1],
                        weight[w + 2],
                        weight[w + 3],
                        products[product[w]],
                        products[product[w + 1]],
                        products[product[w + 2]],
                        products[product[w + 3]],
                    )
                    w += 4
                while w < end:
                    one, source = weight[w], products[product[w]]
                    for lane in range(LANES):
                        target[lane] += one * source[lane]
                    w += 1
            for lane in range(LANES):
                noise[lane] = -square[lane]
            for p in range(triangle + width):
                for lane in range(LANES):
                    noise[lane] -= 2.0 * along[p, lane] * information[p, lane]
            for a in range(width):
                for e in range(width):
                    half = 1.0 if a == e else 0.5  # an entry beside the diagonal stands for two
                    for lane in range(LANES):
                        both[a, e, lane] = half * along[pairs[a, e], lane]
                for c in range(m):
                    columns[a, c] = information[pairs[a, slope_columns[c]]]
            for c in range(m):
                for lane in range(LANES):
                    t = 0.0
                    for a in range(width):
                        t += along[triangle + a, lane] * columns[a, c, lane]
                    slope[c, lane] = t
                for a in range(width):
                    for lane in range(LANES):
                        t = 0.0
                        for e in range(width):
                            t += both[a, e, lane] * columns[e, c, lane]
                        right[a, c, lane] = t
            for c in range(m):
                column = slope_columns[c]
                for e in range(c + 1):
                    other = slope_columns[e]
                    twice = covariance[c, e] * (2.0 if c == e else 4.0)
                    for lane in range(LANES):
                        g, k = information[triangle + column, lane], information[triangle + other, lane]
                        t = g * (0.5 * k - 0.5 * slope[e, lane]) - 0.5 * slope[c, lane] * k
                        t -= 0.5 * columns[column, e, lane]
                        for a in range(width):
                            t -= columns[a, e, lane] * right[a, c, lane]
                        outer[c, e, lane] += t
                        noise[lane] -= twice * t
            for lane in range(LANES):
                noise_gradient[stratum[b, lane]] += noise[lane]
        for c in range(m):
            for e in range(c + 1):
                cov_gradient[c, e] = outer[c, e].sum()
                cov_gradient[e, c] = cov_gradient[c, e]

    return gradient_pass
