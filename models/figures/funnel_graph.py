"""One shop's graph as several methods find it, beside the truth: Figure 6 of Gong et al. (WSDM 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from models.figures.drawing import GREY, RED, new_figure, to_png

ORANGE = "#c96f2e"


def funnel_graph_figure(
    graphs: Mapping[str, pd.DataFrame], columns: Sequence[Sequence[str]], views_id: str
) -> bytes:
    """A panel a graph. graphs: title -> edges (source_id, target_id, weight in (0, 1], the width of the arrow).

    columns: nodes from left to right; edges from the first column to `views_id` are red, those from `views_id` to any
    other node but the last column's orange, the rest grey. Edges bend around the nodes between their ends.
    """
    figure, axes = new_figure(4.6 * len(graphs), 4.4, 1, len(graphs))
    places = {
        name: (float(x), (len(names) - row - 0.5) / len(names))
        for x, names in enumerate(columns)
        for row, name in enumerate(names)
    }
    for axis, (title, edges) in zip(axes[0], graphs.items(), strict=True):
        for edge in edges.sort_values("weight").itertuples(index=False):
            (x0, _), (x1, _) = places[edge.source_id], places[edge.target_id]
            color = edge_color(edge.source_id, edge.target_id, columns, views_id)
            axis.annotate(
                "", xy=places[edge.target_id], xytext=places[edge.source_id],
                arrowprops={
                    "arrowstyle": "-|>", "color": color, "linewidth": 0.4 + 1.4 * edge.weight, "shrinkA": 16,
                    "shrinkB": 20, "alpha": 0.9 if color != GREY else 0.5,
                    "connectionstyle": f"arc3,rad={_bend(x1 - x0)}",
                },
            )  # fmt: skip
        for name, (x, y) in places.items():
            box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": GREY, "linewidth": 0.6}
            axis.text(x, y, name, fontsize=6.5, ha="center", va="center", bbox=box)
        axis.set_title(f"{title}: {len(edges)} edges", fontsize=9)
        axis.set_xlim(-0.5, len(columns) - 0.5)
        axis.set_ylim(-0.02, 1.02)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[["left", "bottom"]].set_visible(False)
    return to_png(figure)


def _bend(columns_apart: float) -> float:
    return {0.0: 0.4, 1.0: 0.05, -1.0: 0.05}.get(columns_apart, 0.25)


def edge_color(source_id: str, target_id: str, columns: Sequence[Sequence[str]], views_id: str) -> str:
    """RED into page views from the first column, ORANGE out of them into another node but the last column's."""
    if target_id == views_id and source_id in columns[0]:
        return RED
    if source_id == views_id and target_id not in columns[-1]:
        return ORANGE
    return GREY
