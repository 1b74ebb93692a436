"""Individual effects by channel, and against what is known of the consumers (Ni et al. 2023, Figure 5)."""

import numpy as np
import pandas as pd

from models.figures.drawing import PALETTE, new_figure, to_png
from models.figures.posterior import density_curve

POINTS_MOST = 1_500


def individual_effects(effects: pd.DataFrame, characteristics: pd.DataFrame, unit: str) -> bytes:
    """Densities of consumers' own effects by channel, and scatter panels against each characteristic.

    effects: index consumer_id, a column for each channel: posterior means. characteristics: the same index, a numeric
    column for each panel (gaps are left out). In the scatter panels a point is a consumer at its largest effect, in
    the colour of that channel; lines are least squares of each channel's effect over all consumers.
    """
    channels, names = list(effects.columns), list(characteristics.columns)
    colors = {c: PALETTE[i % len(PALETTE)] for i, c in enumerate(channels)}
    figure, axes = new_figure(9.5, 2.1 * max(len(names), 2) + 0.6, rows=max(len(names), 1), columns=2)
    grid = axes[0, 0].get_gridspec()
    for axis in axes[:, 0]:
        axis.remove()
    centre = figure.add_subplot(grid[:, 0])
    centre.spines[["top", "right", "left"]].set_visible(False)
    centre.set_yticks([])
    centre.tick_params(labelsize=8)
    for channel in channels:
        values = effects[channel].to_numpy(dtype=float)
        at, density = density_curve(values)
        centre.fill_between(at, density, color=colors[channel], alpha=0.3, linewidth=0, label=channel)
        centre.plot(at, density, color=colors[channel], linewidth=1)
        centre.axvline(values.mean(), color=colors[channel], linewidth=1.1, linestyle="--")
    centre.set_ylim(bottom=0)
    centre.set_xlabel(f"effect of one consumer, {unit} (dashed: mean)", fontsize=8)
    centre.legend(fontsize=8, frameon=False)
    dominant = effects.to_numpy(dtype=float).argmax(axis=1)
    for axis, name in zip(axes[:, 1], names, strict=False):
        _draw_scatter(axis, effects, characteristics[name].to_numpy(dtype=float), dominant, colors)
        axis.set_xlabel(name, fontsize=8)
        axis.set_ylabel("effect", fontsize=8)
    share = np.bincount(dominant, minlength=len(channels)) / len(dominant)
    largest = ", ".join(f"{c} {s:.0%}" for c, s in zip(channels, share, strict=True))
    figure.suptitle(
        f"Individual effects (posterior means) of {len(effects):,} consumers; largest for: {largest}",
        fontsize=9,
        x=0.01,
        ha="left",
        wrap=True,
    )
    return to_png(figure)


def _draw_scatter(
    axis, effects: pd.DataFrame, x: np.ndarray, dominant: np.ndarray, colors: dict[str, str]
) -> None:
    values = effects.to_numpy(dtype=float)
    known = np.flatnonzero(np.isfinite(x))
    shown = known[:: max(1, -(-len(known) // POINTS_MOST))]
    for c, channel in enumerate(effects.columns):
        mine = shown[dominant[shown] == c]
        axis.scatter(x[mine], values[mine, c], s=7, color=colors[channel], alpha=0.55, linewidths=0)
    if len(known) > 2 and np.ptp(x[known]) > 0:
        ends = np.quantile(x[known], [0.01, 0.99])
        for c, channel in enumerate(effects.columns):
            slope, level = np.polyfit(x[known], values[known, c], 1)
            axis.plot(ends, level + slope * ends, color="white", linewidth=3.2)
            axis.plot(ends, level + slope * ends, color=colors[channel], linewidth=1.6)
