"""Rival models on held-out rows: error, probabilistic error and coverage of each, a dot a split."""

from __future__ import annotations

import pandas as pd

from models.figures.drawing import BLUE, GREY, new_figure, to_png

SHOWN = {"rmse": "RMSE", "crps": "CRPS", "interval_coverage": "interval coverage"}
FIRST = "hbmmm"


def comparison_figure(table: pd.DataFrame, interval_level: float = 0.95) -> bytes:
    """One row of panels a kind of split, one panel a metric; methods in the order of their mean RMSE.

    table : rows of compare_models; those without a number, and information criteria, are passed over. A bar is the mean
    over splits. The dashed line of a coverage is the level that intervals claim.
    """
    rows = table[table["value"].notna() & table["metric"].isin(list(SHOWN))]
    kinds = list(dict.fromkeys(rows["split_kind"]))
    if not kinds:
        figure, axes = new_figure(6.0, 1.2)
        axes[0, 0].set_axis_off()
        axes[0, 0].text(0.0, 0.5, "no model was scored on held-out rows", fontsize=9)
        return to_png(figure)
    figure, axes = new_figure(3.2 * len(SHOWN), 2.6 * len(kinds), len(kinds), len(SHOWN))
    for line, kind in zip(axes, kinds, strict=True):
        part = rows[rows["split_kind"] == kind]
        means = part.pivot_table(index="method", columns="metric", values="value")
        order = list(means.sort_values("rmse", ascending=False).index)
        for axis, (metric, name) in zip(line, SHOWN.items(), strict=True):
            _draw(axis, part[part["metric"] == metric], order)
            unit = part.loc[part["metric"] == metric, "unit"].dropna()
            axis.set_title(f"{kind.replace('_', ' ')}: {name}", fontsize=9, loc="left")
            axis.set_xlabel(str(unit.iloc[0]) if len(unit) else "", fontsize=8)
            if metric == "interval_coverage":
                axis.axvline(interval_level, color=GREY, linewidth=0.8, linestyle="--")
        for axis in line[1:]:
            axis.set_yticklabels([])
    return to_png(figure)


def _draw(axis, part: pd.DataFrame, order: list[str]) -> None:
    for y, method in enumerate(order):
        values = part.loc[part["method"] == method, "value"]
        color = BLUE if method == FIRST else GREY
        axis.plot(values, [y] * len(values), "o", color=color, markersize=3.5, alpha=0.6)
        if len(values):
            axis.plot([values.mean()], [y], "|", color=color, markersize=14, markeredgewidth=2)
    axis.set_yticks(range(len(order)), [name.replace("_", " ") for name in order])
    axis.margins(x=0.08, y=0.1)
