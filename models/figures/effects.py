"""A forest of effects: every method's estimate of one estimand, side by side."""

import numpy as np
import pandas as pd

from models.figures.drawing import GREY, PALETTE, RED, new_figure, to_png


def effects_forest(effects: pd.DataFrame, estimand: str) -> bytes:
    """Point and interval per channel and method; hollow and red where the effect is not identified.

    effects : rows of channel_effects (channel_id, estimand, method, model_name, mean, interval_lower,
        interval_upper, interval_level, unit, is_identified); rows of other estimands are passed over.
    """
    rows = effects[(effects["estimand"] == estimand) & effects["mean"].notna()].copy()
    rows["label"] = rows["method"].astype(object)
    if "horizon" in rows:
        rows["label"] += np.where(rows["horizon"].eq("total"), " (total)", "")
    labels = sorted(rows["label"].unique())
    channels = sorted(rows["channel_id"].unique())
    figure, axes = new_figure(7.2, 1.3 + 0.34 * max(len(rows), 1))
    axis = axes[0, 0]
    position = 0.0
    ticks, names = [], []
    for channel in reversed(channels):
        part = rows[rows["channel_id"] == channel].sort_values("label", ascending=False)
        start = position
        for row in part.itertuples():
            color = PALETTE[labels.index(row.label) % len(PALETTE)] if row.is_identified else RED
            axis.plot([row.interval_lower, row.interval_upper], [position] * 2, color=color, linewidth=1.6)
            face = color if row.is_identified else "white"
            axis.plot([row.mean], [position], "o", color=color, markerfacecolor=face, markersize=5)
            axis.annotate(
                row.label, (1.01, position), xycoords=("axes fraction", "data"), fontsize=7, va="center"
            )
            position += 1
        ticks.append((start + position - 1) / 2)
        names.append(channel)
        position += 0.8
    axis.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    axis.set_yticks(ticks, names)
    axis.set_ylim(-0.6, max(position - 1.2, 0.6))
    level = rows["interval_level"].dropna().unique()
    unit = ", ".join(sorted(rows["unit"].dropna().unique()))
    shown = f"{100 * level[0]:g} % interval" if np.size(level) == 1 else "interval"
    axis.set_xlabel(f"{estimand}, {unit} (point and {shown}; hollow red: not identified)", fontsize=8)
    return to_png(figure)
