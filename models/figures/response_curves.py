"""Response curves side by side: what a channel brings at multiples of what was shown, with what was shown marked."""

import numpy as np
import pandas as pd

from models.figures.drawing import BLUE, GREY, new_figure, to_png

COLUMNS = 3


def response_curves_figure(curves: pd.DataFrame) -> bytes:
    """Mean and interval of every channel over all markets.

    curves : of period_tables.response_curves; rows of single markets are passed over. The x-axis is spend where it is
        known, else the multiple of the recorded exposures.
    """
    rows = curves[curves["market_id"].isna()]
    channels = sorted(rows["channel_id"].unique())
    height = -(-len(channels) // COLUMNS)
    figure, axes = new_figure(8.4, 0.4 + 2.3 * height, height, min(COLUMNS, len(channels)))
    for axis in axes.ravel()[len(channels) :]:
        axis.set_visible(False)
    for axis, channel in zip(axes.ravel(), channels, strict=False):
        part = rows[rows["channel_id"] == channel].sort_values("multiple")
        has_spend = bool(np.isfinite(part["spend_amount"].astype(float)).all())
        x = part["spend_amount" if has_spend else "multiple"].to_numpy(dtype=float)
        lower, upper = (part[name].to_numpy(dtype=float) for name in ("interval_lower", "interval_upper"))
        axis.fill_between(x, lower, upper, color=BLUE, alpha=0.18, linewidth=0)
        axis.plot(x, part["mean"].to_numpy(dtype=float), color=BLUE, linewidth=1.6)
        now = x[np.abs(part["multiple"].to_numpy(dtype=float) - 1.0).argmin()]
        axis.axvline(now, color=GREY, linewidth=0.8, linestyle="--")
        axis.set_title(channel, fontsize=9)
        axis.set_xlabel("spend" if has_spend else "times what was shown", fontsize=8)
        axis.set_ylabel(str(part["unit"].iloc[0]), fontsize=8)
        axis.set_ylim(bottom=min(0.0, float(lower.min())))
    return to_png(figure)
