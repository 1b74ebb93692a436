"""Lift tests as observations of the model's own counterfactual, KPI under what was recorded less KPI without the test:

    lift_i = sum over treated markets j, tested channels c, periods t of the test:
             effect_jc scale_jc kpi_mean_j [f_c(adstock of recorded)_t - f_c(adstock of recorded less delta)_t] + error

Delta is spread over the treated cells in proportion to what is recorded there (docs/decisions.md), channels of a set
alike. What carries over beyond the last day is not part of the lift; what earlier exposures left is on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import PanelError
from models.response.lift_tests import LiftTest
from models.response.market_panel import MarketPanel


@dataclass(frozen=True, slots=True, eq=False)
class LiftTerms:
    """n tests, E entries (a treated market and channel of a test each).

    lift, standard_error (n,): KPI; test, channel, market, row (E,): positions, row among exposures (C, J + L, T)
    window (E, T): 1 in the test's periods; weight (E,): kpi_mean over the test's standard error
    exposures (C, L, T): recorded less delta, in the model's unit; rows that a channel does not need are 0
    """

    lift: np.ndarray
    standard_error: np.ndarray
    test: np.ndarray
    channel: np.ndarray
    market: np.ndarray
    row: np.ndarray
    window: np.ndarray
    weight: np.ndarray
    exposures: np.ndarray


def lift_terms(
    panel: MarketPanel, tests: Sequence[LiftTest], exposures: np.ndarray, kpi_mean: np.ndarray
) -> LiftTerms:
    """exposures (C, J, T): recorded, in the model's unit.

    Raises PanelError for tests of unknown channels or markets, of periods that the panel lacks, and where a test took
    away more than is recorded or nothing is recorded to spread it over.
    """
    entries, without = [], [[] for _ in exposures]
    markets = exposures.shape[1]
    for i, test in enumerate(tests):
        channels = [panel.channel_index(c) for c in test.channel_ids]
        treated = [panel.market_index(m) for m in test.market_ids]
        window = _window(panel, test)
        kept = 1.0 - _share(panel, test, channels, treated, window)
        for c in channels:
            for j in treated:
                changed = np.where(window, kept, 1.0) * exposures[c, j]
                entries.append(
                    (i, c, j, markets + len(without[c]), window, kpi_mean[j] / test.standard_error)
                )
                without[c].append(changed)
    longest = max(len(rows) for rows in without)
    padded = np.zeros((len(exposures), longest, exposures.shape[2]))
    for c, rows in enumerate(without):
        if rows:
            padded[c, : len(rows)] = rows
    test, channel, market, row, window, weight = zip(*entries, strict=True)
    return LiftTerms(
        lift=np.array([t.lift for t in tests]),
        standard_error=np.array([t.standard_error for t in tests]),
        test=np.array(test),
        channel=np.array(channel),
        market=np.array(market),
        row=np.array(row),
        window=np.array(window, dtype=float),
        weight=np.array(weight),
        exposures=padded,
    )


def _window(panel: MarketPanel, test: LiftTest) -> np.ndarray:
    """(T,), periods that start within the test's dates."""
    inside = (panel.period_starts >= test.start) & (panel.period_starts <= test.end)
    if not inside.any() or test.start < panel.period_starts[0] or test.end < panel.period_starts[0]:
        raise PanelError(
            f"lift test {test.lift_test_id!r} runs from {test.start} to {test.end}; the panel's periods start between "
            f"{panel.period_starts[0]} and {panel.period_starts[-1]}. Leave the test out, or give the data of its time."
        )
    return inside


def _share(
    panel: MarketPanel, test: LiftTest, channels: list[int], treated: list[int], window: np.ndarray
) -> float:
    """What the test added over what is recorded in its cells; below 0 where it took away."""
    cells = np.ix_(treated, np.flatnonzero(window), channels)
    if test.spend_delta is not None:
        for c in channels:
            panel.require_spend(str(panel.channel_ids[c]))
        delta, recorded = test.spend_delta, float(np.nansum(panel.spend[cells]))
    else:
        if len(channels) > 1:
            raise PanelError(
                f"lift test {test.lift_test_id!r} changed the exposures of {', '.join(test.channel_ids)} together, "
                "whose units need not be the same. Give spend_delta_amount."
            )
        delta, recorded = float(test.exposures_delta), float(panel.intensity[cells].sum())  # type: ignore[arg-type]
    if not recorded > 0:
        raise PanelError(
            f"lift test {test.lift_test_id!r} changed what was spent by {delta:g}, and nothing is recorded in its "
            "markets and periods to spread that over. Recorded spend contains the test: correct one of the two."
        )
    if delta > recorded * (1 + 1e-9):
        raise PanelError(
            f"lift test {test.lift_test_id!r} added {delta:g} to a total of {recorded:g} recorded in its cells. "
            "Recorded spend contains the test: correct one of the two."
        )
    return min(delta / recorded, 1.0)
