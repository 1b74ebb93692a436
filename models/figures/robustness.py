"""Sensitivity of the channels' effects to the specification: a heatmap with intervals and a dendrogram (Figure 6)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.figures.drawing import GREY, new_figure, to_png

BASELINE = "baseline"
NOT_REFITS = ("posterior", "prior_reweighted")  # compared with the full fit, not with the refitted baseline
SHIFT_MOST = 3.0  # the colour scale ends at so many standard deviations of the baseline
NAME_LENGTH = 44


def robustness_heatmap(table: pd.DataFrame, estimand: str = "slope") -> bytes:
    """Specifications by channels, the baseline rightmost, specifications ordered by a dendrogram of their shifts.

    Channels differ in scale, so a cell's colour is the shift from the baseline in standard deviations of the
    channel's own baseline: white is the baseline, full colour three of them. In each cell a thin line is the interval
    and a dot the mean, on one vertical scale a channel, whose zero is the dashed line. Columns without numbers are
    hatched. Specifications are clustered by their shifts (average linkage, Euclidean distance).

    table : rows of robustness_checks; rows of other estimands and of reweighted posteriors are passed over.
    """
    rows = table[(table["estimand"] == estimand) & ~table["specification_kind"].isin(NOT_REFITS)]
    base = rows[rows["specification_kind"] == BASELINE].set_index("channel_id")
    base = base[base["mean"].notna()]
    if base.empty:
        return _empty_figure(f"{estimand}: the baseline has no effect to compare with")
    channels = list(base.index)
    shifts = _shifts(rows, base, channels)
    order, linkage = _clustered(shifts)
    names = [*order, BASELINE]
    figure, axes = new_figure(
        2.6 + 0.32 * len(names), 2.6 + 0.75 * len(channels) + 0.065 * NAME_LENGTH, rows=2, columns=1
    )
    top, main = axes[:, 0]
    top.get_gridspec().set_height_ratios([1.0, 0.75 * len(channels)])
    missing = len(names) - 1 - (0 if linkage is None else len(linkage) + 1)
    _draw_dendrogram(top, linkage, missing, len(names))
    image = _draw_cells(main, shifts, names, channels)
    _draw_intervals(main, rows, names, channels)
    main.set_xticks(range(len(names)), [_short(name) for name in names], rotation=90, fontsize=7)
    main.set_yticks(range(len(channels)), [_short(channel) for channel in channels], fontsize=8)
    main.tick_params(length=0)
    main.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=main, fraction=0.025, pad=0.01, aspect=12)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("shift from the baseline, in its standard deviations", fontsize=7)
    level = base["interval_level"].iloc[0]
    unit = ", ".join(sorted(base["unit"].dropna().unique()))
    figure.suptitle(
        f"{estimand}, {unit}, by specification: colour is the shift, dot and line are mean and {100 * level:g} % "
        "interval (each channel on its own scale, zero dashed)",
        fontsize=9,
        x=0.01,
        ha="left",
        wrap=True,
    )
    return to_png(figure)


def _shifts(rows: pd.DataFrame, base: pd.DataFrame, channels: list[str]) -> pd.DataFrame:
    """Specification by channel: (mean - baseline) / baseline's standard deviation, nan where there is none."""
    others = rows[rows["specification_kind"] != BASELINE]
    wide = others.pivot_table(
        index="specification", columns="channel_id", values="mean", dropna=False, sort=False
    )
    wide = wide.reindex(index=others["specification"].unique(), columns=channels).astype(float)
    return (wide - base["mean"]) / base["standard_deviation"].where(base["standard_deviation"] > 0)


def _clustered(shifts: pd.DataFrame) -> tuple[list[str], np.ndarray | None]:
    """Specifications without numbers first, then the others as the tree has them; its linkage (None below 2)."""
    from scipy.cluster import hierarchy

    known = shifts[shifts.notna().any(axis=1)]
    unknown = [name for name in shifts.index if name not in known.index]
    if len(known) < 2:
        return [*unknown, *known.index], None
    linkage = hierarchy.linkage(known.fillna(0.0).to_numpy(), method="average", optimal_ordering=True)
    return [*unknown, *known.index[hierarchy.leaves_list(linkage)]], linkage


def _draw_dendrogram(axis, linkage: np.ndarray | None, missing: int, count: int) -> None:
    """Brackets over the columns that were clustered; heights are square roots, so that close pairs can be seen."""
    from scipy.cluster import hierarchy

    axis.set_xlim(-0.5, count - 0.5)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    if linkage is None:
        return
    tree = hierarchy.dendrogram(linkage, no_plot=True)
    for x, y in zip(tree["icoord"], tree["dcoord"], strict=True):
        axis.plot((np.array(x) - 5.0) / 10.0 + missing, np.sqrt(y), color=GREY, linewidth=0.9)
    axis.set_ylim(bottom=0)


def _draw_cells(axis, shifts: pd.DataFrame, names: list[str], channels: list[str]):
    values = shifts.reindex(index=names, columns=channels).to_numpy(dtype=float, copy=True).T
    values[:, names.index(BASELINE)] = 0.0
    image = axis.imshow(
        np.ma.masked_invalid(values), cmap="RdBu_r", vmin=-SHIFT_MOST, vmax=SHIFT_MOST, aspect="auto"
    )
    for row, column in np.argwhere(np.isnan(values)):
        axis.fill_between(
            [column - 0.5, column + 0.5], row - 0.5, row + 0.5, facecolor="#f0f0f0", hatch="////", edgecolor="#cccccc",
            linewidth=0,
        )  # fmt: skip
    for edge in np.arange(len(names) + 1) - 0.5:
        axis.axvline(edge, color="white", linewidth=0.8)
    for edge in np.arange(len(channels) + 1) - 0.5:
        axis.axhline(edge, color="white", linewidth=3)
    axis.axvline(len(names) - 1.5, color="black", linewidth=1.2)
    return image


def _draw_intervals(axis, rows: pd.DataFrame, names: list[str], channels: list[str]) -> None:
    """Mean and interval in every cell, each channel scaled to the span of its intervals and zero."""
    column = {name: i for i, name in enumerate(names)}
    for c, channel in enumerate(channels):
        part = rows[(rows["channel_id"] == channel) & rows["mean"].notna()]
        ends = part[["interval_lower", "interval_upper"]].to_numpy(dtype=float)
        low, high = min(ends.min(), 0.0), max(ends.max(), 0.0)

        def height(value: float, c: int = c, low: float = low, high: float = high) -> float:
            return c + 0.42 - 0.84 * (value - low) / (high - low or 1.0)

        axis.hlines(height(0.0), -0.5, len(names) - 0.5, color=GREY, linewidth=0.6, linestyle="--")
        for row in part.itertuples():
            x = column[row.specification]
            axis.vlines(
                x, height(row.interval_lower), height(row.interval_upper), color="black", linewidth=0.8
            )
            axis.plot([x], [height(row.mean)], "o", color="black", markersize=2.6)


def _short(name: str) -> str:
    """Identifiers are data: shortened, and a dollar in one starts no formula."""
    text = str(name)
    text = text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 3].rstrip() + "..."
    return text.replace("$", r"\$")


def _empty_figure(text: str) -> bytes:
    figure, axes = new_figure(6.0, 1.2)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.0, 0.5, text, fontsize=9)
    return to_png(figure)
