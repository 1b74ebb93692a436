"""Posterior densities with intervals, and rank plots of the chains (Vehtari et al. 2021, figure 1)."""

from collections.abc import Mapping

import numpy as np

from models.figures.drawing import BLUE, GREY, PALETTE, new_figure, to_png


def posterior_densities(
    draws: Mapping[str, np.ndarray], interval_level: float, unit: str, title: str
) -> bytes:
    """One density per quantity; draws (chain, draw) each. The thick line is the central interval."""
    figure, axes = new_figure(7.0, 0.9 + 1.1 * max(len(draws), 1), rows=max(len(draws), 1))
    for axis, (name, values) in zip(axes[:, 0], draws.items(), strict=False):
        flat = np.asarray(values, dtype=float).ravel()
        grid, density = density_curve(flat)
        lower, upper = np.quantile(flat, [(1 - interval_level) / 2, (1 + interval_level) / 2])
        axis.fill_between(grid, density, color=BLUE, alpha=0.25, linewidth=0)
        axis.plot(grid, density, color=BLUE, linewidth=1)
        axis.plot([lower, upper], [0, 0], color=BLUE, linewidth=4, solid_capstyle="butt")
        axis.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.set_title(f"{name}: {flat.mean():.3g} [{lower:.3g}, {upper:.3g}]", fontsize=9, loc="left")
    axes[-1, 0].set_xlabel(unit, fontsize=8)
    figure.suptitle(f"{title}, {100 * interval_level:g} % intervals", fontsize=10, x=0.01, ha="left")
    return to_png(figure)


def rank_plot(draws: Mapping[str, np.ndarray], title: str, bins: int = 20) -> bytes:
    """Histograms of the ranks of each chain's draws; flat where the chains agree. Draws (chain, draw)
    each."""
    count = max(len(draws), 1)
    columns = min(count, 4)
    rows = -(-count // columns)
    figure, axes = new_figure(2.4 * columns, 0.7 + 1.7 * rows, rows=rows, columns=columns)
    for axis in axes.ravel()[len(draws) :]:
        axis.set_visible(False)
    for axis, (name, values) in zip(axes.ravel(), draws.items(), strict=False):
        values = np.asarray(values, dtype=float)
        ranks = values.ravel().argsort(kind="stable").argsort(kind="stable").reshape(values.shape)
        edges = np.linspace(0, values.size, bins + 1)
        for chain, chain_ranks in enumerate(ranks):
            heights, _ = np.histogram(chain_ranks, edges)
            axis.stairs(heights, edges, color=PALETTE[chain % len(PALETTE)], linewidth=1)
        axis.axhline(values.shape[1] / bins, color=GREY, linewidth=0.8, linestyle="--")
        axis.set_title(name, fontsize=8, loc="left")
        axis.set_xticks([])
        axis.set_ylim(bottom=0)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return to_png(figure)


def density_curve(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian kernel density on 200 points, bandwidth by Silverman's rule; a spike where all are equal."""
    spread = values.std()
    if not spread > 0:
        return np.array([values[0] - 1e-9, values[0], values[0] + 1e-9]), np.array([0.0, 1.0, 0.0])
    width = 1.06 * spread * values.size ** (-0.2)
    grid = np.linspace(values.min() - 2 * width, values.max() + 2 * width, 200)
    thinned = values[:: max(1, values.size // 4000)]
    kernel = np.exp(-0.5 * ((grid[:, None] - thinned[None, :]) / width) ** 2)
    return grid, kernel.mean(axis=1) / (width * np.sqrt(2 * np.pi))
