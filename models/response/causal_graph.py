"""The causal graph of a market: what the user declares, in YAML, before any effect is asked for.

    outcome: gmv
    channels: [tv, search]
    mediators: [branded_searches]                    # between channels and outcome
    confounders:                                     # cause a channel and the outcome
      - price
      - {name: demand, observed: false}
      - {name: season, observed: false, absorbed_by: period}
    covariates: [weather]                            # anything else: instruments, colliders, other causes
    edges: [tv -> search, tv -> gmv, search -> gmv, price -> tv, price -> gmv]
    proposed_edges:                                  # what models/causalmmm found, predictive until accepted
      - {edge: search -> tv, probability: 0.91, stability: 0.8, lag: 2.0, sign: 0.97, accepted: false}

Edges point from cause to effect; a node stands for a market's series with its own past. What is not observed is
adjusted for all the same where effects of markets or of periods absorb it (absorbed_by), because it varies over nothing
else. Only declared and accepted edges count. A missing edge is the strong claim: no direct effect.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import networkx as nx
import pandas as pd
import yaml

from models.errors import GraphError
from models.response.proposed_edges import pooled_edges

ROLES = {
    "channels": "channel",
    "mediators": "mediator",
    "confounders": "confounder",
    "covariates": "covariate",
}
ABSORBERS = ("market", "period")


@dataclass(frozen=True, slots=True)
class Node:
    """role: channel, mediator, confounder, covariate or outcome; absorbed_by: market, period or None."""

    name: str
    role: str
    is_observed: bool = True
    absorbed_by: str | None = None

    def __post_init__(self) -> None:
        if self.absorbed_by is not None and self.absorbed_by not in ABSORBERS:
            raise GraphError(
                f"node {self.name!r} is absorbed_by {self.absorbed_by!r}; effects of {' or '.join(ABSORBERS)} absorb "
                "what varies over nothing else. Leave it out for a series of its own in each market."
            )

    @property
    def is_adjustable(self) -> bool:
        """Whether a regression can hold it fixed: it is observed, or effects of markets or periods absorb it."""
        return self.is_observed or self.absorbed_by is not None


@dataclass(frozen=True, slots=True)
class Edge:
    """source causes target. A proposal has a probability and a stability (share of refits with it), and may wait.

    lag: of a proposal, mean, in periods. sign: probability that it raises the target less that it lowers it.
    Raises GraphError for a loop on one node and for shares outside [0, 1].
    """

    source: str
    target: str
    probability: float | None = None
    stability: float | None = None
    is_accepted: bool = True
    lag: float | None = None
    sign: float | None = None

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise GraphError(f"edge {self} is a loop; a node's own past belongs to the node. Leave it out.")
        for name in ("probability", "stability"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise GraphError(f"edge {self} has {name} {value}; it is a share and must lie in [0, 1].")
        if self.probability is None and not self.is_accepted:
            raise GraphError(
                f"edge {self} is declared and not accepted; leave it out, or give it a probability."
            )

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"

    @property
    def is_proposed(self) -> bool:
        """Whether it came from a model's proposal rather than from the user."""
        return self.probability is not None


@dataclass(frozen=True)
class CausalGraph:
    """Nodes and edges, checked when built; GraphError says what is wrong with them.

    nodes : distinct names, exactly one with role outcome, one channel at least
    edges : distinct pairs of known nodes, proposals among them; the accepted ones form no cycle
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        _require_nodes(self.nodes)
        _require_edges(self.edges, {node.name for node in self.nodes})
        _require_no_cycle(self.digraph)
        _require_roles(self)

    @cached_property
    def digraph(self) -> nx.DiGraph:
        """The accepted edges as a networkx graph; a copy is the caller's to change."""
        graph = nx.DiGraph()
        graph.add_nodes_from(node.name for node in self.nodes)
        graph.add_edges_from((edge.source, edge.target) for edge in self.edges if edge.is_accepted)
        return nx.freeze(graph)

    @property
    def outcome(self) -> str:
        """Name of the outcome."""
        return self._named("outcome")[0]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, as declared."""
        return self._named("channel")

    @property
    def adjustable(self) -> frozenset[str]:
        """Names of the nodes a regression can hold fixed, the outcome not among them."""
        return frozenset(n.name for n in self.nodes if n.is_adjustable and n.role != "outcome")

    @property
    def observed(self) -> frozenset[str]:
        """Names of the nodes with a series of their own, the outcome not among them."""
        return frozenset(n.name for n in self.nodes if n.is_observed and n.role != "outcome")

    @property
    def waiting(self) -> tuple[Edge, ...]:
        """Proposals nobody accepted: they count for nothing."""
        return tuple(edge for edge in self.edges if not edge.is_accepted)

    def with_proposals(
        self, proposals: pd.DataFrame, accepted: Iterable[tuple[str, str]] = ()
    ) -> CausalGraph:
        """The graph with the edges of a CausalMMM export, waiting but for the (source, target) pairs accepted.

        proposals : rows of causal_graph_edges (several markets and lags of a pair become one: `pooled_edges`).
            Declared edges stay as they are.
        Raises GraphError for missing columns, unknown nodes, an accepted pair that is not proposed, and cycles.
        """
        accepted, pairs = set(accepted), pooled_edges(proposals)
        unknown = accepted - set(zip(pairs["source_id"], pairs["target_id"], strict=True))
        if unknown:
            source, target = sorted(unknown)[0]
            raise GraphError(
                f"{source} -> {target} is accepted and not proposed; declare it under edges instead."
            )
        declared = {(e.source, e.target) for e in self.edges if not e.is_proposed}
        found = [
            Edge(
                str(row.source_id),
                str(row.target_id),
                _known(row.edge_probability),
                _known(row.selection_frequency),
                (row.source_id, row.target_id) in accepted,
                _known(row.lag),
                _known(row.sign),
            )
            for row in pairs.itertuples(index=False)
            if (row.source_id, row.target_id) not in declared
        ]
        return replace(self, edges=(*(e for e in self.edges if not e.is_proposed), *found))

    def _named(self, role: str) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes if node.role == role)


# ----------------------------------------------------------------------------------- YAML
def graph_from_yaml(text: str) -> CausalGraph:
    """Read the module's YAML. GraphError for text that is none, unknown keys, and whatever CausalGraph refuses."""
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise GraphError(f"the causal graph is no YAML: {error}. Look at the line it names.") from error
    allowed = ("outcome", *ROLES, "edges", "proposed_edges")
    if not isinstance(read, dict) or set(read) - set(allowed) or not isinstance(read.get("outcome"), str):
        found = sorted(map(str, read)) if isinstance(read, dict) else type(read).__name__
        raise GraphError(
            f"the causal graph has {found}; give outcome (a name) and any of {', '.join(allowed[1:])}."
        )
    nodes = [Node(read["outcome"], "outcome")]
    for key, role in ROLES.items():
        nodes += [_node(entry, key, role) for entry in _list(read, key)]
    edges = [Edge(*_pair(entry)) for entry in _list(read, "edges")]
    edges += [_proposal(entry) for entry in _list(read, "proposed_edges")]
    return CausalGraph(tuple(nodes), tuple(edges))


def graph_to_yaml(graph: CausalGraph) -> str:
    """The graph in the module's YAML; graph_from_yaml reads it back as it was."""
    written: dict[str, Any] = {"outcome": graph.outcome}
    for key, role in ROLES.items():
        entries = [_node_entry(node) for node in graph.nodes if node.role == role]
        if entries:
            written[key] = entries
    written["edges"] = [str(edge) for edge in graph.edges if not edge.is_proposed]
    proposals = [_proposal_entry(edge) for edge in graph.edges if edge.is_proposed]
    if proposals:
        written["proposed_edges"] = proposals
    return yaml.safe_dump(written, sort_keys=False, allow_unicode=True)


def _list(read: dict[str, Any], key: str) -> list[Any]:
    value = read.get(key) or []
    if not isinstance(value, list):
        raise GraphError(f"{key} is {value!r}; give a list.")
    return value


def _node(entry: Any, key: str, role: str) -> Node:
    if isinstance(entry, str):
        return Node(entry, role)
    known = {"name", "observed", "absorbed_by"}
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or set(entry) - known:
        raise GraphError(f"{key} holds {entry!r}; give a name, or name with observed and absorbed_by.")
    observed = entry.get("observed", True)
    if not isinstance(observed, bool):
        raise GraphError(f"{key}: {entry['name']!r} has observed {observed!r}; give true or false.")
    return Node(entry["name"], role, observed, entry.get("absorbed_by"))


def _node_entry(node: Node) -> str | dict[str, Any]:
    entry: dict[str, Any] = {"name": node.name}
    if not node.is_observed:
        entry["observed"] = False
    if node.absorbed_by is not None:
        entry["absorbed_by"] = node.absorbed_by
    return entry if len(entry) > 1 else node.name


def _pair(entry: Any) -> tuple[str, str]:
    ends = [end.strip() for end in entry.split("->")] if isinstance(entry, str) else []
    if len(ends) != 2 or not all(ends):
        raise GraphError(f"edges hold {entry!r}; write each as `cause -> effect`.")
    return ends[0], ends[1]


def _known(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), 6)


def _proposal_entry(edge: Edge) -> dict[str, Any]:
    entry = {"edge": str(edge), "probability": edge.probability, "stability": edge.stability}
    entry |= {name: getattr(edge, name) for name in ("lag", "sign") if getattr(edge, name) is not None}
    return entry | {"accepted": edge.is_accepted}


def _proposal(entry: Any) -> Edge:
    known = {"edge", "probability", "stability", "lag", "sign", "accepted"}
    if (
        not isinstance(entry, dict)
        or set(entry) - known
        or not isinstance(entry.get("probability"), int | float)
    ):
        raise GraphError(f"proposed_edges hold {entry!r}; give edge, probability, stability and accepted.")
    accepted = entry.get("accepted", False)
    if not isinstance(accepted, bool):
        raise GraphError(
            f"proposed edge {entry.get('edge')!r} has accepted {accepted!r}; give true or false."
        )
    figures = [entry.get(name) for name in ("stability", "lag", "sign")]
    if not all(value is None or isinstance(value, int | float) for value in figures):
        raise GraphError(
            f"proposed edge {entry.get('edge')!r} has stability, lag and sign {figures}; give numbers."
        )
    stability, lag, sign = figures
    return Edge(*_pair(entry.get("edge")), float(entry["probability"]), stability, accepted, lag, sign)


# ------------------------------------------------------------------------------ validation
def _require_nodes(nodes: tuple[Node, ...]) -> None:
    names = [node.name for node in nodes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise GraphError(
            f"{', '.join(twice)} is declared more than once; a node has one role. Keep one of them."
        )
    roles = [node.role for node in nodes]
    if roles.count("outcome") != 1 or "channel" not in roles:
        raise GraphError(
            f"the graph has {roles.count('outcome')} outcomes and {roles.count('channel')} channels; it needs one "
            "outcome and at least one channel."
        )
    hidden = [n.name for n in nodes if n.role in ("channel", "outcome") and not n.is_observed]
    if hidden:
        raise GraphError(
            f"{', '.join(hidden)} is a channel or the outcome and not observed; nothing can be estimated."
        )


def _require_edges(edges: tuple[Edge, ...], known: set[str]) -> None:
    seen: set[tuple[str, str]] = set()
    for edge in edges:
        unknown = [name for name in (edge.source, edge.target) if name not in known]
        if unknown:
            raise GraphError(
                f"edge {edge} names {unknown[0]!r}, which is no node; declare it under "
                f"{', '.join(ROLES)} or correct the name. Known: {', '.join(sorted(known))}."
            )
        if (edge.source, edge.target) in seen:
            raise GraphError(f"edge {edge} occurs twice; keep one of them.")
        seen.add((edge.source, edge.target))


def _require_no_cycle(graph: nx.DiGraph) -> None:
    if nx.is_directed_acyclic_graph(graph):
        return
    cycle = [source for source, _ in nx.find_cycle(graph)]
    raise GraphError(
        f"the edges form a cycle, {' -> '.join([*cycle, cycle[0]])}: nothing can be its own cause within a period. "
        "Take out the edge that works more slowly, or do not accept the proposal that closed it."
    )


def _require_roles(graph: CausalGraph) -> None:
    directed, outcome = graph.digraph, graph.outcome
    causes = nx.ancestors(directed, outcome)
    caused = set().union(*(nx.descendants(directed, channel) for channel in graph.channels))
    for node in graph.nodes:
        if node.role == "channel" and node.name not in causes:
            raise GraphError(
                f"channel {node.name!r} has no directed path to {outcome!r}, so the graph already says that its effect "
                "is 0. Add its edges, or declare it as a covariate."
            )
        if node.role == "mediator" and not (node.name in caused and node.name in causes):
            raise GraphError(
                f"mediator {node.name!r} lies on no directed path from a channel to {outcome!r}. Add the edges that "
                "lead to it and from it, or declare it as a covariate."
            )
        if node.role == "confounder" and node.name in caused:
            channel = next(c for c in graph.channels if node.name in nx.descendants(directed, c))
            path = " -> ".join(nx.shortest_path(directed, channel, node.name))
            raise GraphError(
                f"confounder {node.name!r} is caused by a channel ({path}): adjusting for it takes away part of the "
                "effect. Declare it as a mediator, or turn the edge."
            )
