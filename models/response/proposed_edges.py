"""Edges of many markets and lags as one statement a pair of series, which is what the response model's graph holds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.errors import GraphError

PROPOSAL_COLUMNS = ("source_id", "target_id", "edge_probability", "selection_frequency")
_MARKETS = ("market_id", "shop_id")


def pooled_edges(edges: pd.DataFrame) -> pd.DataFrame:
    """A row a pair: source_id, target_id, edge_probability, selection_frequency, lag, sign, least, most, markets_count.

    edges: rows of causal_graph_edges or GraphPosterior.to_frame, of one method; lag and sign may be missing. A pair's
    rows of several lags in a market become the likeliest one; markets are then averaged, lag and sign weighted by
    probability. least and most are the probabilities' range over markets. Loops are left out. NaN is unknown.
    Raises GraphError for missing columns.
    """
    missing = [column for column in PROPOSAL_COLUMNS if column not in edges.columns]
    if missing:
        raise GraphError(f"the proposal lacks {', '.join(missing)}; hand over rows of causal_graph_edges.")
    rows = edges[edges["source_id"] != edges["target_id"]]
    pair = ["source_id", "target_id"]
    keys = [*pair, *(name for name in _MARKETS if name in rows.columns)]
    rows = rows.sort_values("edge_probability", ascending=False, kind="stable").drop_duplicates(keys)
    rows = rows.assign(**{name: rows[name] if name in rows.columns else np.nan for name in ("lag", "sign")})
    for name in ("lag", "sign"):
        known = rows["edge_probability"].where(rows[name].notna(), 0.0)
        rows[f"{name}_weight"], rows[name] = known, rows[name].fillna(0.0) * known
    rows["selection_frequency"] = rows["selection_frequency"].astype(float)
    groups = rows.groupby(pair, sort=True)
    pooled = groups[["edge_probability", "selection_frequency"]].mean()
    for name in ("lag", "sign"):
        weight = groups[f"{name}_weight"].sum()
        pooled[name] = groups[name].sum() / weight.where(weight > 0)
    pooled["least"], pooled["most"] = groups["edge_probability"].min(), groups["edge_probability"].max()
    return pooled.assign(markets_count=groups.size()).reset_index()
