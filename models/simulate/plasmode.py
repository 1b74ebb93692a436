"""Plasmode: effects known to the cent, put into real purchases.

Consumers, exposures, targeting and purchases stay as they are; on top come extra purchases whose expected value is

    m(g_i) b_c h_c log1p(a_ict / h_c)        dollars of channel c in the period t of consumer i

with b_c the dollars of a first exposure, h_c the exposures at which response bends (linear without), m the multiplier
of the consumer's group, and a the exposures of the period or, with a decay, their geometric adstock over all calendar
periods (transforms/adstock.py, divided by 1 - decay: an exposure counts 1 in its own period). They are random as
purchases are: a Poisson number of them, each as large as one of the household's own, drawn with replacement from its
periods with positive GMV (a purchase here is a period's amount); a household that never bought draws from everybody's.
The number's mean is the expected dollars over the mean amount, so that the expectation above is exact.

The real purchases hold an unknown effect of their own. What is known is the difference between an estimate with and
one without the injection. Targeting bias cancels in it: to recover the difference is necessary, not sufficient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.panel import ConsumerPanel
from models.simulate.consumer_config import response
from models.transforms.adstock import adstock_at_rows

MISSING = "missing"
EVERYBODY = "all"


@dataclass(frozen=True, slots=True)
class InjectedEffect:
    """One channel's effect.

    amount : dollars of the first exposure at multiplier 1, 0 or more (purchases are added, never taken away)
    bend : exposures (of adstock, where they carry over) at which response visibly bends; None: linear
    decay : share of adstock left after one period, in [0, 1); 0: no carry-over
    """

    channel_id: str
    amount: float
    bend: float | None = None
    decay: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.amount) and self.amount >= 0):
            raise ValueError(
                f"Channel {self.channel_id!r}: amount is {self.amount}; extra purchases are 0 dollars or more."
            )
        if self.bend is not None and not (np.isfinite(self.bend) and self.bend > 0):
            raise ValueError(
                f"Channel {self.channel_id!r}: bend is {self.bend}; give exposures above 0, or None for linear."
            )
        if not 0 <= self.decay < 1:
            raise ValueError(f"Channel {self.channel_id!r}: decay is {self.decay}; it must lie in [0, 1).")

    def dollars(self, adstock: np.ndarray) -> np.ndarray:
        """Expected dollars at multiplier 1 of (...,) adstock."""
        return self.amount * response(adstock, np.array([np.inf if self.bend is None else self.bend]))


@dataclass(frozen=True, slots=True)
class PlasmodeConfig:
    """What is injected.

    effects : one for each channel with an effect; the others have none
    characteristic : whose groups respond differently; None: everybody alike
    cut_points : of a numeric characteristic, ascending; groups are (-inf, first], (first, second], ..., (last, inf)
    multipliers : (group, factor on every channel's dollars) for each group of consumer_groups, `missing` included
        where some consumers lack the characteristic
    """

    effects: tuple[InjectedEffect, ...]
    characteristic: str | None = None
    cut_points: tuple[float, ...] = ()
    multipliers: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        names = [e.channel_id for e in self.effects]
        if len(set(names)) != len(names):
            raise ValueError(f"effects name a channel twice: {names}; give each channel one effect.")
        if (np.diff(self.cut_points) <= 0).any() or not np.isfinite(self.cut_points).all():
            raise ValueError(f"cut_points are {self.cut_points}; they must be finite and ascending.")
        if self.characteristic is None and (self.cut_points or self.multipliers):
            raise ValueError("cut_points and multipliers need a characteristic whose groups they are about.")
        groups = [g for g, _ in self.multipliers]
        if len(set(groups)) != len(groups):
            raise ValueError(f"multipliers name a group twice: {groups}; give each group one.")
        for group, factor in self.multipliers:
            if not (np.isfinite(factor) and factor >= 0):
                raise ValueError(f"The multiplier of group {group!r} is {factor}; it must be 0 or more.")


@dataclass(frozen=True, eq=False)
class Plasmode:
    """A panel with injected purchases, and what is known about them. R rows, C channels, N consumers.

    panel : the panel with the realised purchases in its GMV; all else as it was
    groups : (N,) text, the group of each consumer whose multiplier applies
    adstock : (R, C), what the effects act on: exposures, carried over where a decay is set
    expected, realised : (R, C) injected dollars of the row: exact expectation, and what was drawn
    slope_immediate : (R, C) expected dollars, in the same row, of one more exposure in it
    slope_total : (R, C) the same summed over this and all later panel rows of the consumer
    """

    panel: ConsumerPanel
    config: PlasmodeConfig
    groups: np.ndarray
    adstock: np.ndarray
    expected: np.ndarray
    realised: np.ndarray
    slope_immediate: np.ndarray
    slope_total: np.ndarray

    def truth(self, groups: np.ndarray | None = None) -> pd.DataFrame:
        """What the injection adds to each estimand, for all consumers or by (N,) labels of groups.

        slope : mean over rows, or weighted by exposures, of slope_immediate or slope_total
        contribution : sum over rows of the injected dollars; its column `realised` holds those drawn

        Returns
        -------
        segment_value, channel_id, estimand, exposure_distribution, horizon, unit, value, realised (NaN for slopes)
        """
        labels = np.full(self.panel.consumers_count, EVERYBODY) if groups is None else np.asarray(groups)
        values, code = np.unique(labels.astype(str), return_inverse=True)
        code = code[self.panel.consumer_index]

        def sums(rows: np.ndarray) -> np.ndarray:
            return np.column_stack([np.bincount(code, column, len(values)) for column in rows.T])

        def part(estimand: str, distribution: str, horizon: str, value: np.ndarray, realised: np.ndarray):
            per = "" if estimand == "contribution" else " per exposure"
            return pd.DataFrame(
                {
                    "segment_value": np.repeat(values, len(self.panel.channel_ids)),
                    "channel_id": np.tile(self.panel.channel_ids, len(values)),
                    "estimand": estimand,
                    "exposure_distribution": distribution,
                    "horizon": horizon,
                    "unit": self.panel.currency_code + per,
                    "value": value.ravel(),
                    "realised": realised.ravel(),
                }
            )

        parts = []
        for distribution, weights in (
            ("panel_rows", np.ones_like(self.expected)),
            ("exposure_weighted", self.panel.exposures),
        ):
            total = sums(weights)
            total[total == 0] = np.nan  # nobody of the group was exposed
            for horizon, slope in (("immediate", self.slope_immediate), ("total", self.slope_total)):
                parts.append(
                    part(
                        "slope",
                        distribution,
                        horizon,
                        sums(slope * weights) / total,
                        np.full_like(total, np.nan),
                    )
                )
        parts.append(part("contribution", "panel_rows", "total", sums(self.expected), sums(self.realised)))
        return pd.concat(parts, ignore_index=True)


def inject_effects(panel: ConsumerPanel, config: PlasmodeConfig, rng: np.random.Generator) -> Plasmode:
    """Add random purchases of known expectation to a panel's GMV. Without any amount its GMV stays as it is.

    Raises
    ------
    PanelError
        A channel or characteristic is not in the panel; a group has no multiplier; nobody ever bought, so that
        there is no purchase to draw; carry-over is asked of rows whose exposures are not those of the events.
    """
    channels = panel.channel_ids.tolist()
    unknown = [e.channel_id for e in config.effects if e.channel_id not in channels]
    if unknown:
        raise PanelError(f"effects name the channels {unknown}, but the panel has {channels}; use its names.")
    groups = consumer_groups(panel, config.characteristic, config.cut_points)
    factor = _multipliers(groups, config)[panel.consumer_index]
    by_channel = {e.channel_id: e for e in config.effects}
    effects = [by_channel.get(c, InjectedEffect(c, 0.0)) for c in channels]
    adstock = _adstock(panel, np.array([e.decay for e in effects]))
    columns = list(zip(effects, adstock.T, strict=True))
    expected = factor[:, None] * np.column_stack([e.dollars(a) for e, a in columns])
    immediate = np.column_stack([e.dollars(a + 1.0) - e.dollars(a) for e, a in columns])
    total = np.column_stack(
        [_later_dollars(panel, e, a) if e.decay > 0 else immediate[:, c] for c, (e, a) in enumerate(columns)]
    )
    realised = _draw_purchases(panel, expected, rng)
    return Plasmode(
        panel=replace(panel, gmv=panel.gmv + realised.sum(axis=1)),
        config=config,
        groups=groups,
        adstock=adstock,
        expected=expected,
        realised=realised,
        slope_immediate=factor[:, None] * immediate,
        slope_total=factor[:, None] * total,
    )


def consumer_groups(
    panel: ConsumerPanel, characteristic: str | None, cut_points: tuple[float, ...] = ()
) -> np.ndarray:
    """(N,) text: the group of each consumer, `missing` where the characteristic is not known.

    A categorical one has its levels, a numeric one the intervals between cut points, named "<= 39.5",
    "39.5 to 49.5" (its upper end included) and "> 49.5"; without a characteristic everybody is in "all".
    """
    if characteristic is None:
        return np.full(panel.consumers_count, EVERYBODY, dtype=object)
    if characteristic not in panel.characteristic_kinds:
        raise PanelError(
            f"characteristic {characteristic!r} is not in the panel, which has {sorted(panel.characteristic_kinds)}."
        )
    column = panel.characteristics[characteristic]
    if panel.characteristic_kinds[characteristic] == "categorical":
        if cut_points:
            raise PanelError(f"{characteristic!r} is categorical and has no cut points; leave them out.")
        return np.array([MISSING if v is None else str(v) for v in column], dtype=object)
    if not cut_points:
        raise PanelError(f"{characteristic!r} is numeric; give the cut points between its groups.")
    names = [f"<= {cut_points[0]:g}"]
    names += [f"{a:g} to {b:g}" for a, b in pairwise(cut_points)]
    names.append(f"> {cut_points[-1]:g}")
    values = column.to_numpy(dtype=float)
    groups = np.array(names, dtype=object)[np.searchsorted(cut_points, values)]
    groups[np.isnan(values)] = MISSING
    return groups


def _multipliers(groups: np.ndarray, config: PlasmodeConfig) -> np.ndarray:
    """(N,) factor of each consumer."""
    if config.characteristic is None:
        return np.ones(len(groups))
    known = dict(config.multipliers)
    found = sorted(set(groups.tolist()))
    if set(found) - set(known):
        raise PanelError(
            f"groups {sorted(set(found) - set(known))} of {config.characteristic!r} have no multiplier; "
            f"the panel has {found}, the settings know {sorted(known)}."
        )
    return np.array([known[g] for g in groups.tolist()])


def _adstock(panel: ConsumerPanel, decays: np.ndarray) -> np.ndarray:
    """(R, C) exposures with what is left of earlier ones; one exposure adds 1 to its own period."""
    if not decays.any():
        return np.array(panel.exposures)
    return adstock_at_rows(panel, decays.tolist()) / (1.0 - decays)


def _later_dollars(panel: ConsumerPanel, effect: InjectedEffect, adstock: np.ndarray) -> np.ndarray:
    """(R,) dollars at multiplier 1 of one more exposure in a row, over this and all later rows of its consumer."""
    periods, when = len(panel.calendar), panel.calendar_index
    row_at = np.full((panel.consumers_count, 2 * periods), -1)  # -1: not in the panel, or after the calendar
    row_at[panel.consumer_index, when] = np.arange(panel.rows_count)
    before = effect.dollars(adstock)
    out = np.zeros(len(adstock))
    for lag in range(periods):
        later = row_at[panel.consumer_index, when + lag]
        early = np.flatnonzero(later >= 0)
        late = later[early]
        out[early] += effect.dollars(adstock[late] + effect.decay**lag) - before[late]
    return out


def _draw_purchases(panel: ConsumerPanel, expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dollars of a Poisson number of purchases in each cell, (R, C), with these expectations."""
    if not expected.any():
        return np.zeros_like(expected)
    bought = np.flatnonzero(panel.gmv > 0)
    if not len(bought):
        raise PanelError("no panel row has a positive GMV, so there is no purchase to draw amounts from.")
    amounts = panel.gmv[bought]
    who = panel.consumer_index[bought]  # ascending
    count = np.bincount(who, minlength=panel.consumers_count)
    first = np.cumsum(count) - count
    mean = np.bincount(who, amounts, panel.consumers_count) / np.maximum(count, 1)
    never = count == 0
    first[never], count[never], mean[never] = 0, len(amounts), amounts.mean()

    numbers = rng.poisson(expected / mean[panel.consumer_index][:, None])
    cell = np.repeat(np.arange(expected.size), numbers.ravel())
    consumer = panel.consumer_index[cell // expected.shape[1]]
    chosen = first[consumer] + rng.integers(count[consumer])
    return np.bincount(cell, amounts[chosen], expected.size).reshape(expected.shape)
