"""The graph of each group of shops: nodes by kind from left to right, edges by how sure and of which sign."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from models.figures.drawing import BLUE, GREY, RED, new_figure, to_png

PROBABILITY_SHOWN = 0.2  # mean over the group's shops; weaker edges are not drawn
COLUMNS_OF_KINDS = {"channel": 0.0, "mediator": 1.0, "outcome": 2.0}
MOST_GROUPS = 6


def causal_graph_figure(edges: pd.DataFrame, node_kinds: dict[str, str]) -> bytes:
    """One panel a structure, largest first (MOST_GROUPS at most), as PNG.

    edges: rows of one method: market_id, structure, source_id, target_id, edge_probability, lag, sign.
    node_kinds: node -> channel, mediator or outcome. Width of an arrow is the mean probability over the group's shops,
    its label that and the mean lag in periods; blue raises, red lowers.
    """
    sizes = edges.groupby("structure")["market_id"].nunique().sort_values(ascending=False)
    shown = sizes.index[:MOST_GROUPS].tolist()
    columns = min(len(shown), 2)
    rows = math.ceil(len(shown) / columns)
    figure, axes = new_figure(5.6 * columns, 3.8 * rows, rows, columns)
    places = node_places(node_kinds)
    for axis, structure in zip(axes.ravel(), shown, strict=False):
        part = group_edges(edges[edges["structure"] == structure])
        _draw(axis, part, places)
        noun = "market" if sizes[structure] == 1 else "markets"
        none = "" if len(part) else f", no edge above {PROBABILITY_SHOWN:g}"
        axis.set_title(f"structure {structure}: {sizes[structure]} {noun}{none}", fontsize=9)
    for axis in axes.ravel()[len(shown) :]:
        axis.set_visible(False)
    figure.suptitle("Predictive (Granger) edges: mean probability and lag", fontsize=10)
    return to_png(figure)


def group_edges(edges: pd.DataFrame) -> pd.DataFrame:
    """Mean probability, and lag and sign weighted by it, of the edges that are drawn: source_id, target_id, ..."""
    weight = edges["edge_probability"]
    weighted = edges.assign(
        lag=edges["lag"].fillna(0.0) * weight, sign=edges["sign"].fillna(0.0) * weight, weight=weight
    )
    means = weighted.groupby(["source_id", "target_id"], as_index=False)[["weight", "lag", "sign"]].mean()
    kept = means[means["weight"] >= PROBABILITY_SHOWN]
    return kept.assign(
        edge_probability=kept["weight"], lag=kept["lag"] / kept["weight"], sign=kept["sign"] / kept["weight"]
    ).drop(columns="weight")


def node_places(node_kinds: dict[str, str]) -> dict[str, tuple[float, float]]:
    """Node -> (x, y): kinds in columns, evenly spread from top to bottom."""
    places = {}
    for kind, x in COLUMNS_OF_KINDS.items():
        names = [node for node, of in node_kinds.items() if of == kind]
        for name, y in zip(names, (np.arange(len(names), 0, -1) - 0.5) / max(len(names), 1), strict=True):
            places[name] = (x, float(y))
    return places


def _draw(axis, edges: pd.DataFrame, places: dict[str, tuple[float, float]]) -> None:
    for edge in edges.itertuples(index=False):
        (x0, y0), (x1, y1) = places[edge.source_id], places[edge.target_id]
        bend = 0.35 if x0 == x1 else 0.08
        axis.annotate(
            "",
            xy=(x1, y1),
            xytext=(x0, y0),
            arrowprops={
                "arrowstyle": "-|>",
                "color": BLUE if edge.sign > 0 else RED,
                "linewidth": 0.6 + 2.6 * edge.edge_probability,
                "alpha": 0.35 + 0.6 * edge.edge_probability,
                "shrinkA": 22,
                "shrinkB": 22,
                "connectionstyle": f"arc3,rad={bend}",
            },
        )
        text = f"{edge.edge_probability:.2f}, lag {edge.lag:.1f}"
        x = (x0 + x1) / 2 - (0.3 if x0 == x1 else 0.0)
        clear = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
        axis.text(x, (y0 + y1) / 2 + 0.02, text, fontsize=7, ha="center", va="bottom", bbox=clear)
    for name, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": GREY}
        axis.text(x, y, name, fontsize=8, ha="center", va="center", bbox=box)
    axis.set_xlim(-0.6, 2.3)
    axis.set_ylim(-0.02, 1.02)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[["left", "bottom"]].set_visible(False)
