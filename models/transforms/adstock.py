"""Geometric adstock: exposure that carries over from period to period.

    a_t = x_t + decay a_(t-1) = sum_l decay^l x_(t-l),   a before the first period = 0   (Jin et al. 2017, section 2.1)

Not normalised: one exposure adds 1 to its own period's adstock, decay^l to that of l periods later, so that the effect
of one more exposure is read at its own period (immediate) or summed over the later ones (total). Exposures before the
first calendar period are unknown; with decay d what they left is d^t of it after t periods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.errors import PanelError


def geometric_adstock(exposures: np.ndarray, decay: float) -> np.ndarray:
    """Adstock along the last axis of (..., T) exposures per period; decay 0 returns them as they are.

    Raises ValueError for a decay outside [0, 1).
    """
    _require_decay(decay)
    carried = np.array(exposures, dtype=float)
    if decay > 0:
        for t in range(1, carried.shape[-1]):
            carried[..., t] += decay * carried[..., t - 1]
    return carried


def adstock_at_rows(panel: Any, decays: Sequence[float]) -> np.ndarray:
    """Adstock of a consumer panel's channels (decays in their order) in its rows, times 1 - decay, (R, C).

    Times 1 - decay it is in exposures a period: who sees the same number every period has that number, so that
    log1p of it bends where log1p of exposures does. One more exposure adds 1 - decay to its own period.
    Carried over are the exposures of *every* calendar period of the consumer, the pre-period's too.
    Raises PanelError for another number of decays than channels, and where the rows hold other exposures than the
    events they came from (a placebo's panel): what such rows should carry over is not defined.
    """
    decays = checked_decays(panel, decays)
    now = panel.calendar_index
    carried = np.empty((panel.rows_count, len(decays)))
    for channel, decay in enumerate(decays):
        events = panel.exposures_by_calendar(channel)
        if not np.array_equal(events[panel.consumer_index, now], panel.exposures[:, channel]):
            raise PanelError(
                f"the rows' exposures of channel {panel.channel_ids[channel]!r} differ from the panel's exposure "
                "events, so that no history belongs to them; carry exposures over before anything replaces them."
            )
        carried[:, channel] = (1.0 - decay) * geometric_adstock(events, decay)[panel.consumer_index, now]
    return carried


def carried_panel(panel: Any, decays: Sequence[float]) -> Any:
    """The panel with adstock in the place of the exposures of its rows; errors as in adstock_at_rows."""
    return panel.with_exposures(adstock_at_rows(panel, decays))


def checked_decays(panel: Any, decays: Sequence[float]) -> tuple[float, ...]:
    """The decays as floats; PanelError where there is not one in [0, 1) for each channel."""
    decays = tuple(float(d) for d in decays)
    if len(decays) != len(panel.channel_ids) or not all(0 <= d < 1 for d in decays):
        raise PanelError(
            f"got the decays {list(decays)} for the channels {list(panel.channel_ids)}; give each channel one in "
            "[0, 1), in this order."
        )
    return decays


def _require_decay(decay: float) -> None:
    if not 0 <= decay < 1:
        raise ValueError(
            f"decay is {decay}; it is the share of adstock left after one period and must lie in [0, 1)."
        )
