"""Compiled loops of the two-part model's counterfactuals: E[y] = p mu of every row under other exposures.

Estimands stand in the order of exposure_weights.estimands_of, channels running fastest: slope over panel rows, slope
weighted by exposure, att_exposed, contribution (the last two have the same sum). A predictor is
    sum_c rows[r, c] total[i, c] - level[i]
for the incidence (log odds) and the amount (scaled; times amount_scale it is money).
"""

from __future__ import annotations

import numpy as np
from numba import njit

ESTIMANDS = 4


@njit(nogil=True, error_model="numpy")
def add_effects(
    rows, consumer, exposures, bends, scale_x, scale_log, columns_x, columns_log,
    incidence, incidence_level, amount, amount_level, amount_scale, effects, expected,
):  # fmt: skip
    """Adds to effects (N, 4 C) and expected (N,) the sums over rows (R, pD) of one draw.

    exposures (R, C) raw; bends (C,) of the concave columns; scale_x, scale_log (C,) of the columns; columns_x,
    columns_log (C,): their place in rows, the latter -1 where a channel has none. incidence, amount (N, pD):
    coefficients; *_level (N,).
    """
    channels = len(columns_x)
    for r in range(len(consumer)):
        i = consumer[r]
        odds, size = -incidence_level[i], -amount_level[i]
        for c in range(rows.shape[1]):
            odds += rows[r, c] * incidence[i, c]
            size += rows[r, c] * amount[i, c]
        now = size / (1.0 + np.exp(-odds))
        expected[i] += amount_scale * now
        for c in range(channels):
            x = exposures[r, c]
            jx, jl = columns_x[c], columns_log[c]
            odds_x, size_x = incidence[i, jx] / scale_x[c], amount[i, jx] / scale_x[c]
            more_odds, more_size = odds + odds_x, size + size_x
            less_odds, less_size = odds - odds_x * x, size - size_x * x
            if jl >= 0:
                odds_l, size_l = incidence[i, jl] / scale_log[c], amount[i, jl] / scale_log[c]
                present = np.log1p(x / bends[c])
                step = np.log1p((x + 1.0) / bends[c]) - present
                more_odds += odds_l * step
                more_size += size_l * step
                less_odds -= odds_l * present
                less_size -= size_l * present
            added = amount_scale * (more_size / (1.0 + np.exp(-more_odds)) - now)
            effects[i, c] += added
            effects[i, channels + c] += x * added
            if x > 0.0:
                removed = amount_scale * (now - less_size / (1.0 + np.exp(-less_odds)))
                effects[i, 2 * channels + c] += removed
                effects[i, 3 * channels + c] += removed


@njit(nogil=True, error_model="numpy")
def add_gradients(
    rows, consumer, exposures, bends, scale_x, scale_log, columns_x, columns_log, incidence, incidence_level,
    incidence_centre, amount, amount_level, amount_centre, amount_scale, gradients,
):  # fmt: skip
    """Adds to gradients (2, 2, N, 4 C) the derivatives of the sums of add_effects: of [incidence, amount] in the
    coefficient of [x, log1p(x / bend)] of the effect's own channel. *_centre (N, pD): what columns are centred on."""
    channels = len(columns_x)
    change = np.empty((2, 2, 2))  # [added, removed], [incidence, amount], [x, log]
    for r in range(len(consumer)):
        i = consumer[r]
        odds, size = -incidence_level[i], -amount_level[i]
        for c in range(rows.shape[1]):
            odds += rows[r, c] * incidence[i, c]
            size += rows[r, c] * amount[i, c]
        for c in range(channels):
            x = exposures[r, c]
            jx, jl = columns_x[c], columns_log[c]
            change[:] = 0.0
            for scenario in range(3):  # as it is, one more, none
                other = x if scenario == 0 else x + 1.0 if scenario == 1 else 0.0
                new_odds = odds + incidence[i, jx] * (other - x) / scale_x[c]
                new_size = size + amount[i, jx] * (other - x) / scale_x[c]
                if jl >= 0:
                    moved = (np.log1p(other / bends[c]) - np.log1p(x / bends[c])) / scale_log[c]
                    new_odds += incidence[i, jl] * moved
                    new_size += amount[i, jl] * moved
                p = 1.0 / (1.0 + np.exp(-new_odds))
                for part in range(2):
                    by = p * (1.0 - p) * new_size if part == 0 else p
                    centre = incidence_centre if part == 0 else amount_centre
                    along_x = amount_scale * by * (other / scale_x[c] - centre[i, jx])
                    along_log = 0.0
                    if jl >= 0:
                        curved = np.log1p(other / bends[c]) / scale_log[c]
                        along_log = amount_scale * by * (curved - centre[i, jl])
                    if scenario != 2:
                        sign = 1.0 if scenario == 1 else -1.0
                        change[0, part, 0] += sign * along_x
                        change[0, part, 1] += sign * along_log
                    if scenario != 1:
                        sign = 1.0 if scenario == 0 else -1.0
                        change[1, part, 0] += sign * along_x
                        change[1, part, 1] += sign * along_log
            for part in range(2):
                for kind in range(2):
                    gradients[part, kind, i, c] += change[0, part, kind]
                    gradients[part, kind, i, channels + c] += x * change[0, part, kind]
                    if x > 0.0:
                        gradients[part, kind, i, 2 * channels + c] += change[1, part, kind]
                        gradients[part, kind, i, 3 * channels + c] += change[1, part, kind]
