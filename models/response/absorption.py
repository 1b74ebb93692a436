"""Whether the model's effects absorb what the causal graph says they do.

A node with `absorbed_by: period` varies over periods alone and counts as adjusted for because common shocks take its
place. One market has no such effects: its shocks are the memory of its noise, and a demand that drives spend nationally
would be credited to the channels. Shocks are shrunk: they leave about noise^2 / (noise^2 + J sd^2) of what they absorb.
"""

from __future__ import annotations

from models.errors import GraphError
from models.response.causal_graph import CausalGraph
from models.response.config import ResponseConfig
from models.response.market_panel import MarketPanel


def require_absorbed(graph: CausalGraph, panel: MarketPanel, config: ResponseConfig) -> None:
    """GraphError, naming the nodes, where period effects are to absorb something and the model has none."""
    nodes = sorted(node.name for node in graph.nodes if node.absorbed_by == "period")
    if not nodes or not (panel.is_national or config.shocks == "none"):
        return
    why = "the panel has one market" if panel.is_national else "shocks are 'none'"
    raise GraphError(
        f"{', '.join(nodes)}: absorbed_by period, but {why}, so that there are no effects of periods to absorb it. "
        "Record it as a covariate, give data by market, or calibrate on lift tests."
    )
