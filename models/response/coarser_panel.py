"""Days summed to weeks, for daily series too long to be fitted day by day.

Shocks of T periods cost T^3 an evaluation: two years of days take a hundred times as long as two years of weeks, and
weekdays, which the model knows nothing of, cancel in weeks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.response.market_panel import MarketPanel

DAYS = 7


def weeks_of_days(panel: MarketPanel) -> MarketPanel:
    """The panel in blocks of seven days that end with its last one; up to six days at its start are left out.

    KPI, activity and spend are sums (unknown where one day is), controls and mediators means; what seven days reached
    and how often is not the sum of what each did, so that reach and frequency become unknown.
    """
    first = len(panel.period_starts) % DAYS
    media = {name: _sums(getattr(panel, name), first) for name in ("intensity", "spend", "exposures")}
    unknown = np.full(media["intensity"].shape, np.nan)
    return replace(
        panel,
        period_starts=panel.period_starts[first::DAYS],
        kpi=_sums(panel.kpi[..., None], first)[..., 0],
        **media,
        reach=unknown,
        frequency=unknown.copy(),
        controls=_sums(panel.controls, first) / DAYS,
        mediators=_sums(panel.mediators, first) / DAYS,
        period="week",
    )


def _sums(values: np.ndarray, first: int) -> np.ndarray:
    """Sums of sevens along the second axis of (J, T, n)."""
    kept = values[:, first:]
    return kept.reshape(kept.shape[0], kept.shape[1] // DAYS, DAYS, kept.shape[2]).sum(axis=2)
