"""Pictures of how graphs are found: against the number of shops, settings and epochs, and what it costs.

Figures 4, 7, 9 and 10 of Gong et al. (WSDM 2024), and reliability. Each takes a table and draws what is in it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.figures.drawing import GREY, PALETTE, new_figure, to_png

_MARKERS = "osv^Dxp*"


def auroc_by_shops(rows: pd.DataFrame) -> bytes:
    """Figure 4. rows: method, shops_count, mean, sd (NaN for one world); a line a method, bars of one sd."""
    figure, axes = new_figure(8.4, 3.8)
    _lines(axes[0, 0], rows, "shops_count")
    axes[0, 0].set_xscale("log")
    _ticks(axes[0, 0], rows["shops_count"])
    axes[0, 0].set_xlabel("shops", fontsize=8)
    axes[0, 0].set_ylabel("AUROC, mean and sd over worlds", fontsize=8)
    figure.legend(fontsize=7, frameon=False, loc="outside right center")
    return to_png(figure)


def reliability_curve(bins: pd.DataFrame) -> bytes:
    """bins: method, stated, observed, pairs_count; a line a method, bins of fewer than 30 pairs hollow."""
    figure, axes = new_figure(4.0, 3.8)
    axis = axes[0, 0]
    axis.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1)
    for (method, part), color in zip(bins.groupby("method", sort=False), PALETTE, strict=False):
        axis.plot(part["stated"], part["observed"], "-", color=color, linewidth=1, label=method)
        many = part["pairs_count"] >= 30
        axis.plot(part["stated"][many], part["observed"][many], "o", color=color, markersize=4)
        axis.plot(part["stated"][~many], part["observed"][~many], "o", color=color, markersize=4, mfc="white")
    axis.set_xlabel("stated probability", fontsize=8)
    axis.set_ylabel("share of edges", fontsize=8)
    axis.legend(fontsize=7, frameon=False)
    return to_png(figure)


def auroc_by_setting(rows: pd.DataFrame) -> bytes:
    """Figure 7. rows: parameter, value, method, mean, sd; a panel a parameter, a line a method."""
    parameters = list(dict.fromkeys(rows["parameter"]))
    figure, axes = new_figure(4.2 * len(parameters), 3.4, 1, len(parameters))
    for axis, parameter in zip(axes[0], parameters, strict=True):
        part = rows[rows["parameter"] == parameter]
        _lines(axis, part, "value")
        axis.set_xscale("log")
        _ticks(axis, part["value"])
        axis.set_title(parameter, fontsize=9)
    axes[0, 0].set_ylabel("AUROC, mean and sd over worlds", fontsize=8)
    axes[0, 0].legend(fontsize=7, frameon=False)
    return to_png(figure)


def training_curves(rows: pd.DataFrame) -> bytes:
    """Figure 9. rows: method, epoch, loss, holdout (NaN where not checked), auroc, means over worlds; a panel a method.

    Losses are negative ELBO and negative log likelihood a value, on the left; AUROC on the right.
    """
    methods = list(dict.fromkeys(rows["method"]))
    figure, axes = new_figure(4.4 * len(methods), 3.2, 1, len(methods))
    for axis, method in zip(axes[0], methods, strict=True):
        part = rows[rows["method"] == method].sort_values("epoch")
        held = part[part["holdout"].notna()]
        lines = axis.plot(part["epoch"], part["loss"], color=PALETTE[0], label="training loss")
        lines += axis.plot(held["epoch"], held["holdout"], color=PALETTE[1], label="held-out loss")
        right = axis.twinx()
        right.spines[["top"]].set_visible(False)
        right.set_ylim(0.4, 1.02)
        right.tick_params(labelsize=8)
        known = part[part["auroc"].notna()]
        lines += right.plot(known["epoch"], known["auroc"], "--", color=PALETTE[2], label="AUROC (right)")
        axis.set_title(method, fontsize=9)
        axis.set_xlabel("epoch", fontsize=8)
    axes[0, 0].set_ylabel("loss a value, nats", fontsize=8)
    axes[0, 0].legend(handles=lines, fontsize=7, frameon=False, loc="center right")
    return to_png(figure)


def seconds_by_size(rows: pd.DataFrame) -> bytes:
    """Figure 10. rows: method, parameter (shops or periods), size, seconds; both axes logarithmic.

    A panel a parameter, a line a method, labelled with the power of the size; the dotted line has power one.
    """
    from models.evaluation.graph_acceptance import growth

    parameters = list(dict.fromkeys(rows["parameter"]))
    figure, axes = new_figure(4.6 * len(parameters), 3.8, 1, len(parameters))
    for axis, parameter in zip(axes[0], parameters, strict=True):
        part = rows[rows["parameter"] == parameter].sort_values("size")
        for number, (method, one) in enumerate(part.groupby("method", sort=False)):
            power = growth(one["size"], one["seconds"])
            label = method if np.isnan(power) else f"{method} (power {power:.2f})"
            color = PALETTE[number % len(PALETTE)]
            axis.plot(
                one["size"],
                one["seconds"],
                f"-{_MARKERS[number % 8]}",
                color=color,
                markersize=4,
                label=label,
            )
        ends = np.array([part["size"].min(), part["size"].max()], dtype=float)
        axis.plot(ends, part["seconds"].min() * ends / ends[0], ":", color=GREY, linewidth=1)
        axis.set_xscale("log")
        axis.set_yscale("log")
        _ticks(axis, part["size"])
        axis.set_xlabel(parameter, fontsize=8)
        axis.legend(fontsize=6, frameon=False)
    axes[0, 0].set_ylabel("CPU seconds of a fit", fontsize=8)
    return to_png(figure)


def _lines(axis, rows: pd.DataFrame, column: str) -> None:
    for number, (method, part) in enumerate(rows.groupby("method", sort=False)):
        part = part.sort_values(column)
        axis.errorbar(
            part[column], part["mean"], yerr=part["sd"].fillna(0.0), color=PALETTE[number % len(PALETTE)],
            marker=_MARKERS[number % 8], markersize=4, linewidth=1, linestyle="-" if number < len(PALETTE) else "--",
            capsize=2, label=method,
        )  # fmt: skip


def _ticks(axis, sizes: pd.Series) -> None:
    found = sorted(set(sizes))
    axis.set_xticks(found, [f"{size:g}" for size in found])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
