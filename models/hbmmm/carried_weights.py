"""Weights of effects on coefficients where exposure carries over: the immediate and the total horizon.

The model's columns are a and log1p(a / bend) of the adstock in exposures a period, a_s = (1 - d) sum_l d^l x_(s-l),
and f(a) = b_x a + b_l log1p(a / bend). With sums over the panel rows s of one consumer, t the row whose exposures x_t
are changed, and w_l = (1 - d) d^l what one exposure adds l periods later:

                             immediate                       total: sum over rows s >= t of
    slope, of row t          f(a_t + w_0) - f(a_t)           f(a_s + w_(s-t)) - f(a_s)
    att_exposed, of row t    f(a_t) - f(a_t - w_0 x_t)       f(a_s) - f(a_s - w_(s-t) x_t)
    contribution             the sum of att_exposed's        sum over s of f(a_s) - f(a_s without any panel exposure)

Averaged as in exposure_weights.py: slopes over rows or weighted by x_t, att_exposed over rows with x_t > 0. The total
horizon ends with the consumer's panel: later periods are not observed, and not every effect has faded by then. What was
seen before the panel stays as it was. With decay 0 both horizons are those of exposure_weights.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.hbmmm.exposure_weights import Estimand, ExposureSums, estimands_of
from models.transforms.adstock import adstock_at_rows, checked_decays, geometric_adstock
from models.transforms.concave import concave


def carried_estimands(
    panel: Any,
    decays: Sequence[float],
    consumer_ids: np.ndarray,
    channels: tuple[str, ...],
    bends: np.ndarray,
) -> tuple[Estimand, ...]:
    """The four estimands at horizon immediate, then the four at horizon total.

    panel: of raw exposures; decays: of its channels, in its order; consumers, channels and bends as in the fit.
    Raises PanelError when the panel lacks a consumer or channel of the fit, or has no history of its own (adstock.py).
    """
    plain = estimands_of(
        ExposureSums.from_panel(panel, consumer_ids, channels, bends)
    )  # rows and denominators
    at = [list(panel.channel_ids).index(c) for c in channels]
    number = {c: i for i, c in enumerate(consumer_ids.tolist())}
    fitted = np.array([number.get(c, -1) for c in panel.consumer_ids.tolist()])[panel.consumer_index]
    known = fitted >= 0
    carried = adstock_at_rows(panel, decays)[:, at]
    x, decays = np.asarray(panel.exposures)[:, at], np.array(checked_decays(panel, decays))[at]

    def total(linear: np.ndarray, log: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(consumer_ids), len(at))
        out = np.zeros(shape), np.zeros(shape)
        for sums, values in zip(out, (linear, log), strict=True):
            np.add.at(sums, fitted[known], values[known])
        return out

    own, now = 1.0 - decays, concave(carried, bends)
    immediate = (
        (own * np.ones_like(x), concave(carried + own, bends) - now),
        (own * x, now - concave(np.maximum(carried - own * x, 0.0), bends)),
    )
    long_run = _long_run(panel, x, carried, decays, bends)
    before = np.maximum(carried - _of_panel(panel, x, decays), 0.0)
    lasting = (carried - before, now - concave(before, bends))
    parts = []
    for (added, removed), summed, horizon in (
        (immediate, immediate[1], "immediate"),
        (long_run, lasting, "total"),
    ):
        sums = (total(*added), total(x * added[0], x * added[1]), total(*removed), total(*summed))
        for kind, (weight_x, weight_log1p) in zip(plain, sums, strict=True):
            parts.append(
                Estimand(
                    kind.name,
                    kind.exposure_distribution,
                    kind.unit,
                    weight_x,
                    weight_log1p,
                    kind.denominator,
                    horizon,
                )
            )
    return tuple(parts)


Pair = tuple[np.ndarray, np.ndarray]  # of the adstock itself and of its concave column, (R, C) each


def _long_run(
    panel: Any, x: np.ndarray, carried: np.ndarray, decays: np.ndarray, bends: np.ndarray
) -> tuple[Pair, Pair]:
    """Of one more exposure in each row and of the row's own exposures, summed over this and all later rows."""
    consumer, when = panel.consumer_index, panel.calendar_index
    key = consumer * len(panel.calendar) + when  # ascending, as the rows are
    now = concave(carried, bends)
    out = np.zeros((4, *x.shape))
    for lag in range(len(panel.calendar)):
        left = (1.0 - decays) * decays**lag
        moving = np.flatnonzero(left > 0)
        if not len(moving):
            break
        later = np.searchsorted(key, key + lag).clip(max=len(key) - 1)
        early = np.flatnonzero((key[later] == key + lag) & (consumer[later] == consumer))
        late = later[early]
        for c in moving:
            level, had, gone = now[late, c], carried[late, c], left[c] * x[early, c]
            out[0, early, c] += left[c]
            out[1, early, c] += concave(had + left[c], bends[c]) - level
            out[2, early, c] += gone
            out[3, early, c] += level - concave(np.maximum(had - gone, 0.0), bends[c])
    return (out[0], out[1]), (out[2], out[3])


def _of_panel(panel: Any, x: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """Adstock (exposures a period) in each row of the exposures of panel rows alone, (R, C)."""
    out = np.empty(x.shape)
    rows = panel.consumer_index, panel.calendar_index
    for c, decay in enumerate(decays):
        dense = np.zeros((panel.consumers_count, len(panel.calendar)))
        dense[rows] = x[:, c]
        out[:, c] = (1.0 - decay) * geometric_adstock(dense, decay)[rows]
    return out
