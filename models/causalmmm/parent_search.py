"""Gibbs sampling of parents: for each shop and target, which nodes' lag windows are in its regression.

    y = X_S b_S + e,   e ~ N(0, s2 I),   b_i ~ N(0, s2 V_h) for each parent i of S,   s2 ~ InverseGamma(a, b)

V_h is one of several diagonal slabs (scale and decay over lags), chosen for each parent anew. Coefficients and variance
are integrated out, so that a parent's Bayes factor given the other parents needs only the Gram matrix of lag columns:

    BF_h = |V_h|^-1/2 |C + V_h^-1|^-1/2 ((b + RSS/2) / (b + (RSS - r'(C + V_h^-1)^-1 r)/2))^(a + M/2)

with C and r the Gram matrix of i's columns and their products with y, both after the other parents. A symmetric sweep
operator keeps both for all nodes at once: sweeping a parent's columns (their prior precision added to the diagonal) is
ridge regression on it. Cost does not depend on the number of periods, and rows may be fewer than columns.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, error_model="numpy")
def _sweep(work, first, last, back):
    """Sweep columns first, ..., last - 1 of the symmetric matrix in (or back out)."""
    size = work.shape[0]
    for k in range(first, last):
        pivot = work[k, k]
        for i in range(size):
            if i != k:
                factor = work[i, k] / pivot
                if factor != 0.0:
                    for j in range(size):
                        work[i, j] -= factor * work[k, j]
        for j in range(size):
            scaled = -work[k, j] / pivot if back else work[k, j] / pivot
            work[k, j] = scaled
            work[j, k] = scaled
        work[k, k] = -1.0 / pivot


@njit(nogil=True, error_model="numpy")
def _cholesky(matrix, factor):
    """Lower factor of the matrix; its log determinant."""
    size = matrix.shape[0]
    log_determinant = 0.0
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i == j:
                root = math.sqrt(max(total, 1e-12))
                factor[i, i] = root
                log_determinant += 2.0 * math.log(root)
            else:
                factor[i, j] = total / factor[j, j]
    return log_determinant


@njit(nogil=True, error_model="numpy")
def _forward(factor, right, out):
    """out = L^-1 right; its squared length."""
    total = 0.0
    for i in range(len(right)):
        value = right[i]
        for k in range(i):
            value -= factor[i, k] * out[k]
        out[i] = value / factor[i, i]
        total += out[i] * out[i]
    return total


@njit(nogil=True, error_model="numpy")
def _backward(factor, right, out):
    """out = L'^-1 right."""
    size = len(right)
    for i in range(size - 1, -1, -1):
        value = right[i]
        for k in range(i + 1, size):
            value -= factor[k, i] * out[k]
        out[i] = value / factor[i, i]


@njit(nogil=True, error_model="numpy")
def _without_own(work, first, slab, precision, c, r, factor, inverse, scratch):
    """C and r of a node's columns after the other parents, and what r'C'^-1 r of its slab it takes off RSS now.

    slab: 0 while the node is no parent, else 1 + its slab; a parent's block is swept, so C is found from its inverse.
    """
    lags = c.shape[0]
    last = work.shape[0] - 1
    if slab == 0:
        for k in range(lags):
            r[k] = work[first + k, last]
            for m in range(lags):
                c[k, m] = work[first + k, first + m]
        return 0.0
    for k in range(lags):
        for m in range(lags):
            c[k, m] = -work[first + k, first + m]
    _cholesky(c, factor)
    for k in range(lags):
        for m in range(lags):
            scratch[m] = 1.0 if m == k else 0.0
        _forward(factor, scratch, r)
        _backward(factor, r, scratch)
        for m in range(lags):
            inverse[k, m] = scratch[m]
    taken = 0.0
    for k in range(lags):
        total = 0.0
        for m in range(lags):
            total += inverse[k, m] * work[first + m, last]
        r[k] = total
        taken += total * work[first + k, last]
    for k in range(lags):
        for m in range(lags):
            c[k, m] = inverse[k, m]
        c[k, k] -= precision[slab - 1, k]
    return taken


@njit(nogil=True, error_model="numpy")
def search_parents(
    gram,
    rows,
    prior_logit,
    precision,
    slab_log_weight,
    variance_shape,
    variance_scale,
    uniforms,
    burn_in,
    state,
    probability,
    evidence,
    kernel,
    sign,
    slab_counts,
    noise_precision,
    noise_log_variance,
    log_joint,
):
    """Chains of all shops and targets, given prior odds of each edge; sums over kept sweeps are added to the outputs.

    gram (N, D K + D, D K + D): products of lag columns (node by node, lag 1 first) and, after them, of the targets.
    prior_logit (N, D, D) [shop, source, target], -inf where no edge is allowed. precision (H, K) of the slabs.
    slab_log_weight (D, H), variance_shape and variance_scale (D,): of each target. uniforms (sweeps, N, D, D).
    state (N, D, D) int: 0 or 1 + slab, where chains start and end.
    Sums over kept sweeps: probability of an edge given the other parents, its log Bayes factor, the coefficients'
    mean and the sign's given that it exists; slab_counts (D, H) by target; posterior means of 1 / s2 and of log s2 less
    digamma's term, (N, D). log_joint (N, D): highest log density of data and parents met, less that at the start.
    """
    shops, nodes = state.shape[0], state.shape[1]
    slabs, lags = precision.shape
    columns = nodes * lags
    work = np.empty((columns + 1, columns + 1))
    c, factor, inverse = np.empty((lags, lags)), np.zeros((lags, lags)), np.empty((lags, lags))
    r, half, scratch = np.empty(lags), np.empty(lags), np.empty(lags)
    best_factor, best_half, mean = np.zeros((lags, lags)), np.empty(lags), np.empty(lags)
    log_weight = np.empty(slabs)
    log_precision = np.zeros(slabs)
    for h in range(slabs):
        for k in range(lags):
            log_precision[h] += math.log(precision[h, k])
    sweeps = uniforms.shape[0]
    for shop in range(shops):
        for target in range(nodes):
            for i in range(columns):
                for j in range(columns):
                    work[i, j] = gram[shop, i, j]
                work[i, columns] = gram[shop, i, columns + target]
                work[columns, i] = work[i, columns]
            work[columns, columns] = gram[shop, columns + target, columns + target]
            for source in range(nodes):
                slab = state[shop, source, target]
                if slab > 0:
                    for k in range(lags):
                        work[source * lags + k, source * lags + k] += precision[slab - 1, k]
                    _sweep(work, source * lags, (source + 1) * lags, False)
            density = 0.0
            power = variance_shape[target] + 0.5 * rows
            floor = variance_scale[target]
            for sweep in range(sweeps):
                kept = sweep >= burn_in
                for source in range(nodes):
                    odds = prior_logit[shop, source, target]
                    if odds == -np.inf:
                        continue
                    first = source * lags
                    slab = state[shop, source, target]
                    taken = _without_own(work, first, slab, precision, c, r, factor, inverse, scratch)
                    left = floor + 0.5 * max(work[columns, columns] + taken, 0.0)
                    top = -np.inf
                    for h in range(slabs):
                        for k in range(lags):
                            c[k, k] += precision[h, k]
                        log_determinant = _cholesky(c, factor)
                        gain = _forward(factor, r, half)
                        for k in range(lags):
                            c[k, k] -= precision[h, k]
                        rest = max(left - 0.5 * gain, 1e-12 * left)
                        log_weight[h] = (
                            slab_log_weight[target, h]
                            + 0.5 * (log_precision[h] - log_determinant)
                            + power * (math.log(left) - math.log(rest))
                        )
                        if log_weight[h] > top:
                            top = log_weight[h]
                            if kept:
                                best_factor[:] = factor
                                best_half[:] = half
                                best_rest = rest
                    total = 0.0
                    for h in range(slabs):
                        total += math.exp(log_weight[h] - top)
                    log_bayes_factor = top + math.log(total)
                    present = 1.0 / (1.0 + math.exp(-min(max(odds + log_bayes_factor, -700.0), 700.0)))
                    if kept:
                        probability[shop, source, target] += present
                        evidence[shop, source, target] += log_bayes_factor
                        _backward(best_factor, best_half, mean)
                        position, spread = 0.0, 0.0
                        for k in range(lags):
                            kernel[shop, source, target, k] += mean[k]
                            position += mean[k]
                            scratch[k] = 1.0
                        spread = _forward(best_factor, scratch, half)
                        sd = math.sqrt(max(spread * best_rest / power, 1e-300))
                        sign[shop, source, target] += math.erf(position / sd / math.sqrt(2.0))
                    draw = uniforms[sweep, shop, source, target]
                    chosen = 0
                    if draw < present:
                        point = draw / present * total
                        chosen = slabs
                        for h in range(slabs):
                            point -= math.exp(log_weight[h] - top)
                            if point < 0.0:
                                chosen = h + 1
                                break
                        if kept:
                            slab_counts[target, chosen - 1] += 1.0
                    if chosen != slab:
                        density += odds + log_weight[chosen - 1] if chosen > 0 else 0.0
                        density -= odds + log_weight[slab - 1] if slab > 0 else 0.0
                        if slab > 0:
                            _sweep(work, first, first + lags, True)
                            for k in range(lags):
                                work[first + k, first + k] -= precision[slab - 1, k]
                        if chosen > 0:
                            for k in range(lags):
                                work[first + k, first + k] += precision[chosen - 1, k]
                            _sweep(work, first, first + lags, False)
                        state[shop, source, target] = chosen
                if kept:
                    left = floor + 0.5 * max(work[columns, columns], 0.0)
                    noise_precision[shop, target] += power / left
                    noise_log_variance[shop, target] += math.log(left)
                log_joint[shop, target] = max(log_joint[shop, target], density)
