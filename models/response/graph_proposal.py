"""The bridge from found edges to a declared graph: what CausalMMM found becomes proposals that wait for a person.

A found edge is predictive (Granger): the source's past helps to predict the target. The response model's graph is
causal and has one node a series, so nothing found counts before somebody accepts it, and what cannot be accepted, alone
or together, is said in words: lags make cycles legal in the data (tv precedes search, search precedes tv) that a graph
without time cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import networkx as nx
import pandas as pd

from models.errors import GraphError
from models.response.causal_graph import CausalGraph, Edge, Node, graph_to_yaml
from models.response.proposed_edges import pooled_edges

_MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class ProposalRule:
    """An edge is proposed from these on, means over markets: its probability, and its stability where that is known."""

    least_probability: float = 0.5
    least_stability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("least_probability", "least_stability"):
            if not 0 <= getattr(self, name) <= 1:
                raise GraphError(f"`{name}` is {getattr(self, name)}; it is a share. Give one from 0 to 1.")


@dataclass(frozen=True, slots=True)
class GraphProposal:
    """graph: the declared one with proposals that wait. notes: sentences for the person who decides."""

    graph: CausalGraph
    notes: tuple[str, ...]

    def to_yaml(self) -> str:
        """The graph in causal_graph's YAML, the notes before it as comments."""
        head = [
            "status: proposed. Edges under proposed_edges count for nothing until you set `accepted: true`.",
            "They are predictive (Granger): the source's past helps to predict the target. Whether it causes it is",
            "yours to say.",
            *(f"- {note}" for note in self.notes),
        ]
        return "".join(f"# {line}\n" for line in head) + "\n" + graph_to_yaml(self.graph)


def unrestricted_graph(node_kinds: Mapping[str, str]) -> CausalGraph:
    """The graph that rules out least among these series, where nobody declared one: every channel acts on the outcome,
    directly and through every mediator. node_kinds: node -> channel, mediator or outcome. It has no confounder, because
    no data name one, and no edge between channels.
    """
    by_kind = {kind: [n for n, of in node_kinds.items() if of == kind] for kind in set(node_kinds.values())}
    channels, mediators, outcomes = (by_kind.get(kind, []) for kind in ("channel", "mediator", "outcome"))
    pairs = [(c, m) for c in channels for m in mediators]
    pairs += [(one, outcome) for outcome in outcomes for one in (*channels, *mediators)]
    return CausalGraph(
        tuple(Node(name, kind) for name, kind in node_kinds.items()), tuple(Edge(*p) for p in pairs)
    )


def propose_graph(
    declared: CausalGraph, edges: pd.DataFrame, rule: ProposalRule | None = None
) -> GraphProposal:
    """Found edges that pass the rule as proposals of the declared graph; earlier proposals of it are replaced.

    edges: rows of causal_graph_edges, or of GraphPosterior.to_frame (whose stability is unknown).
    Raises GraphError for missing columns or a rule that is none.
    """
    rule = rule or ProposalRule()
    if "selection_frequency" not in edges.columns:
        edges = edges.assign(selection_frequency=float("nan"))
    pooled = pooled_edges(edges)
    known = {node.name for node in declared.nodes}
    inside = pooled["source_id"].isin(known) & pooled["target_id"].isin(known)
    strange = sorted({*pooled["source_id"], *pooled["target_id"]} - known)
    pooled = pooled[inside]
    likely = pooled["edge_probability"] >= rule.least_probability
    stable = ~(pooled["selection_frequency"] < rule.least_stability)  # unknown passes, and is said
    graph = declared.with_proposals(pooled[likely & stable])
    notes = [
        f"{int((likely & stable).sum())} of {len(pooled)} possible edges have probability "
        f"{rule.least_probability:g} or more and stability {rule.least_stability:g} or more, as means over "
        f"{int(pooled['markets_count'].max()) if len(pooled) else 0} markets; {len(graph.waiting)} of them are not "
        "declared yet and wait below."
    ]
    if strange:
        notes.append(f"Not in the graph, so left out with their edges: {_listed(strange)}.")
    if pooled["selection_frequency"].isna().any():
        notes.append("Stability is unknown (too few markets, or not asked for), so it kept no edge away.")
    notes += _about_declared(graph, pooled)
    notes += _about_some_markets(pooled[~likely], rule)
    notes += _refusals(graph)
    notes += _cycles(graph)
    return GraphProposal(graph, tuple(notes))


def _about_declared(graph: CausalGraph, pooled: pd.DataFrame) -> list[str]:
    """What the data say of each declared edge whose two ends have a series."""
    rows = {(row.source_id, row.target_id): row for row in pooled.itertuples(index=False)}
    declared = [edge for edge in graph.edges if not edge.is_proposed]
    said = [
        f"{edge} ({_figures(rows[edge.source, edge.target])})"
        for edge in declared
        if (edge.source, edge.target) in rows
    ]
    return [f"Declared, and found with: {', '.join(said)}."] if said else []


def _about_some_markets(weak: pd.DataFrame, rule: ProposalRule) -> list[str]:
    """Edges of some markets that the mean over all of them hides."""
    some = weak[weak["most"] >= rule.least_probability].sort_values("edge_probability", ascending=False)
    said = [
        f"{row.source_id} -> {row.target_id} (mean {row.edge_probability:.2f}, largest {row.most:.2f})"
        for row in some.itertuples(index=False)
    ]
    if not said:
        return []
    return [
        f"Likely in some markets and not on average, hence not proposed: {_listed(said)}. Markets may have different "
        "graphs; propose the graph of one structure."
    ]


def _refusals(graph: CausalGraph) -> list[str]:
    """Why a proposal cannot be accepted even alone, for other reasons than a cycle."""
    notes = []
    for edge in graph.waiting:
        directed = nx.DiGraph(graph.digraph)
        directed.add_edge(edge.source, edge.target)
        if nx.is_directed_acyclic_graph(directed):
            try:
                accepted_edges(graph, [edge])
            except GraphError as error:
                notes.append(f"{edge} cannot be accepted as the graph stands: {error}")
    return notes


def _cycles(graph: CausalGraph) -> list[str]:
    """Which proposals cannot all be accepted, because they and the accepted edges run in a circle."""
    by_strength = sorted(graph.waiting, key=lambda edge: -edge.probability)
    everything = nx.DiGraph([(e.source, e.target) for e in graph.edges])
    notes = []
    for group in nx.strongly_connected_components(everything):
        if len(group) == 1:
            continue
        standing = [e for e in graph.edges if e.is_accepted and e.source in group and e.target in group]
        waiting = [e for e in by_strength if e.source in group and e.target in group]
        kept, left = nx.DiGraph([(e.source, e.target) for e in standing]), []
        for edge in waiting:
            kept.add_edge(edge.source, edge.target)
            if not nx.is_directed_acyclic_graph(kept):
                kept.remove_edge(edge.source, edge.target)
                left.append(edge)
        circle = [f"{e} (accepted)" for e in standing] + [f"{e} ({_edge_figures(e)})" for e in waiting]
        notes.append(
            f"{', '.join(circle)} run in a circle. Lags make that legal in the data, where each series precedes the "
            "other by whole periods; this graph has one node a series and refuses it. Accepted from the strongest "
            f"down, these would have to stay out: {', '.join(map(str, left))}. Choose by what you know of the "
            "mechanism, not by strength alone."
        )
    return sorted(notes)


def accepted_edges(graph: CausalGraph, chosen: Iterable[Edge]) -> CausalGraph:
    """The graph with these waiting edges accepted; GraphError as of CausalGraph."""
    chosen = set(chosen)
    return replace(
        graph, edges=tuple(replace(e, is_accepted=True) if e in chosen else e for e in graph.edges)
    )


def _figures(row) -> str:
    parts = [f"probability {row.edge_probability:.2f}"]
    if row.selection_frequency == row.selection_frequency:
        parts.append(f"stability {row.selection_frequency:.2f}")
    return ", ".join(parts + _lag_and_sign(row.lag, row.sign))


def _edge_figures(edge: Edge) -> str:
    return ", ".join([f"probability {edge.probability:.2f}", *_lag_and_sign(edge.lag, edge.sign)])


def _lag_and_sign(lag: float | None, sign: float | None) -> list[str]:
    said = [] if lag is None or lag != lag else [f"lag {lag:.1f}"]
    if sign is not None and sign == sign:
        said.append("raises" if sign > 0.5 else "lowers" if sign < -0.5 else "direction unclear")
    return said


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
