"""Posterior densities by level of the hierarchy, and average effects in one panel (Ni et al. 2023, Figure 3)."""

from collections.abc import Mapping

import numpy as np

from models.figures.drawing import BLUE, GREY, PALETTE, RED, new_figure, to_png
from models.figures.posterior import density_curve

COLUMNS = 4


def posterior_grid(
    levels: Mapping[str, Mapping[str, np.ndarray]],
    average_effects: Mapping[str, np.ndarray],
    truths: Mapping[str, float],
    unit: str,
    interval_level: float = 0.95,
) -> bytes:
    """A density for each quantity, level after level from the top, and one panel of all average effects.

    levels: name of the level -> quantity -> draws (any shape). average_effects: channel -> draws.
    truths: quantity or channel -> true value where known, a dotted line. Solid line: posterior mean; dashed: interval.
    """
    rows_of = {level: -(-len(quantities) // COLUMNS) for level, quantities in levels.items()}
    count = sum(rows_of.values())
    figure, axes = new_figure(9.0, 1.35 * count + 3.0, rows=count + 1, columns=COLUMNS)
    axes[0, 0].get_gridspec().set_height_ratios([1.0] * count + [1.8])
    for axis in axes.ravel():
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.tick_params(labelsize=7)
    row = 0
    for number, (level, quantities) in enumerate(levels.items()):
        cells = axes[row : row + rows_of[level]].ravel()
        for axis in cells[len(quantities) :]:
            axis.set_visible(False)
        for axis, (name, values) in zip(cells, quantities.items(), strict=False):
            draw_density(axis, values, PALETTE[number % len(PALETTE)], interval_level)
            if name in truths:
                axis.axvline(truths[name], color=RED, linewidth=1.2, linestyle=":")
            axis.set_title(name, fontsize=8, loc="left")
        cells[0].set_ylabel(level, fontsize=9)
        row += rows_of[level]
    grid = axes[0, 0].get_gridspec()
    for axis in axes[-1]:
        axis.remove()
    panel = figure.add_subplot(grid[-1, :])
    _draw_average_effects(panel, average_effects, truths, interval_level)
    panel.set_xlabel(f"average effect of each channel, {unit}", fontsize=8)
    figure.suptitle(
        f"Posterior densities; solid: mean, dashed: {100 * interval_level:g} % interval, dotted red: truth",
        fontsize=10,
        x=0.01,
        ha="left",
    )
    return to_png(figure)


def draw_density(axis, values: np.ndarray, color: str, interval_level: float) -> None:
    """Density, mean and interval of draws on one axis."""
    flat = np.asarray(values, dtype=float).ravel()
    grid, density = density_curve(flat)
    if flat.min() >= 0 > grid[0]:  # a standard deviation: what the kernel spills below 0 belongs above it
        density = (density + np.interp(-grid, grid, density, right=0.0))[grid >= 0]
        grid = grid[grid >= 0]
    axis.fill_between(grid, density, color=color, alpha=0.25, linewidth=0)
    axis.plot(grid, density, color=color, linewidth=1)
    axis.axvline(flat.mean(), color=color, linewidth=1.2)
    for end in np.quantile(flat, [(1 - interval_level) / 2, (1 + interval_level) / 2]):
        axis.axvline(end, color=color, linewidth=0.9, linestyle="--")


def _draw_average_effects(
    axis, effects: Mapping[str, np.ndarray], truths: Mapping[str, float], interval_level: float
) -> None:
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_yticks([])
    axis.tick_params(labelsize=8)
    for number, (channel, values) in enumerate(effects.items()):
        color = PALETTE[number % len(PALETTE)] if number else BLUE
        draw_density(axis, values, color, interval_level)
        axis.plot([], [], color=color, label=channel)
        if channel in truths:
            axis.axvline(truths[channel], color=color, linewidth=1.4, linestyle=":")
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.legend(fontsize=8, frameon=False)
