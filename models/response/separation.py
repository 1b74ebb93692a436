"""Which sets of nodes block which paths: adjustment sets, and the path that stays open where there is none.

Adjustment is decided by the adjustment criterion, sound and complete for sets of treatments (Shpitser et al. 2010,
Perkovic et al. 2018): a set without descendants of proper causal paths is valid exactly if it d-separates treatments
and outcome once the first edges of those paths are taken out. d-separation and minimal separators are networkx's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import combinations

import networkx as nx

LARGEST_SEARCHED = 3  # members of a common separator tried one by one, after the sets that usually do


@dataclass(frozen=True, slots=True)
class Condition:
    """`sources` and `targets` must be d-separated in `graph` by a separator together with `given`."""

    graph: nx.DiGraph
    sources: frozenset[str]
    targets: frozenset[str]
    given: frozenset[str] = frozenset()

    def holds(self, separator: Collection[str]) -> bool:
        """Whether `separator` and `given` block every path."""
        return nx.is_d_separator(
            self.graph, set(self.sources), set(self.targets), set(separator) | self.given
        )

    def minimal(self, pool: Collection[str]) -> frozenset[str] | None:
        """A separator from `pool` from which nothing can be left out, or None where there is none."""
        restricted = (set(pool) | self.given) - self.sources - self.targets
        found = nx.algorithms.d_separation.find_minimal_d_separator(
            self.graph, set(self.sources), set(self.targets), included=set(self.given), restricted=restricted
        )
        return None if found is None else frozenset(found) - self.given

    def relevant(self, pool: Collection[str]) -> frozenset[str]:
        """Members of `pool` that are ancestors of what is to be separated: if any set separates, these do."""
        ends = self.sources | self.targets | self.given
        return frozenset(pool) & (frozenset().union(*(nx.ancestors(self.graph, end) for end in ends)) - ends)

    def open_path(self, separator: Collection[str]) -> str | None:
        """A shortest path that `separator` and `given` leave open, as text with arrows; None where all are blocked."""
        return open_path(self.graph, self.sources, self.targets, frozenset(separator) | self.given)


def causal_nodes(graph: nx.DiGraph, treatments: Collection[str], outcome: str) -> frozenset[str]:
    """Nodes on proper causal paths: from a treatment to the outcome through no other treatment; the outcome too."""
    treatments = frozenset(treatments)
    without_arrivals = graph.copy()
    without_arrivals.remove_edges_from(list(graph.in_edges(treatments)))
    after = frozenset().union(*(nx.descendants(without_arrivals, treatment) for treatment in treatments))
    without_departures = graph.copy()
    without_departures.remove_edges_from(list(graph.out_edges(treatments)))
    return (after - treatments) & (nx.ancestors(without_departures, outcome) | {outcome})


def forbidden_nodes(graph: nx.DiGraph, treatments: Collection[str], outcome: str) -> frozenset[str]:
    """Nodes on proper causal paths and their descendants: to adjust for them is wrong whatever else is adjusted for."""
    on_path = causal_nodes(graph, treatments, outcome)
    return on_path.union(*(nx.descendants(graph, node) for node in on_path)) - frozenset(treatments)


def adjustment_condition(graph: nx.DiGraph, treatments: Collection[str], outcome: str) -> Condition:
    """What a set without forbidden nodes must separate for the joint total effect of the treatments."""
    treatments, on_path = frozenset(treatments), causal_nodes(graph, treatments, outcome)
    backdoor = graph.copy()
    backdoor.remove_edges_from([(s, t) for s, t in graph.out_edges(treatments) if t in on_path])
    return Condition(backdoor, treatments, frozenset({outcome}))


def without_departures(graph: nx.DiGraph, nodes: Collection[str]) -> nx.DiGraph:
    """The graph without the edges that leave `nodes`."""
    cut = graph.copy()
    cut.remove_edges_from(list(graph.out_edges(nodes)))
    return cut


def common_separator(conditions: Collection[Condition], pool: Collection[str]) -> frozenset[str] | None:
    """A set from `pool` under which all conditions hold, small ones first; None where none was found.

    Tried: each condition's minimal separators, their union, all relevant members, then every set of up to three.
    """
    for candidate in _candidates(conditions, pool):
        if all(condition.holds(candidate) for condition in conditions):
            return candidate
    return None


def _candidates(conditions: Collection[Condition], pool: Collection[str]) -> Iterator[frozenset[str]]:
    minimal = [condition.minimal(pool) for condition in conditions]
    if any(found is None for found in minimal):
        return
    yield from sorted(minimal, key=lambda found: (len(found), sorted(found)))
    yield frozenset().union(*minimal)
    relevant = frozenset().union(*(condition.relevant(pool) for condition in conditions))
    yield relevant
    for size in range(1, LARGEST_SEARCHED + 1):
        yield from map(frozenset, combinations(sorted(relevant), size))


def open_path(
    graph: nx.DiGraph, sources: Collection[str], targets: Collection[str], given: Collection[str]
) -> str | None:
    """A shortest path from a source to a target that `given` does not block, as `a <- b -> c`; None without one.

    A collider is open where it or a descendant is given, any other inner node where it is not.
    """
    given = frozenset(given)
    opened = given.union(*(nx.ancestors(graph, node) for node in given))
    start = [((source, ""), None) for source in sorted(sources)]
    came_from: dict[tuple[str, str], tuple[str, str] | None] = dict(start)
    queue = deque(state for state, _ in start)
    while queue:
        state = queue.popleft()
        node, arrived = state
        if node in targets:
            return _written(state, came_from)
        for following in _steps(graph, node, arrived, given, opened):
            if following not in came_from and following[0] not in sources:
                came_from[following] = state
                queue.append(following)
    return None


def _steps(
    graph: nx.DiGraph, node: str, arrived: str, given: frozenset[str], opened: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """States (node, arrow by which it is reached) that may follow: `->` points at the node, `<-` away from it."""
    if arrived == "" or node not in given:
        yield from ((child, "->") for child in sorted(graph.successors(node)))
    if (arrived != "->" and (arrived == "" or node not in given)) or (arrived == "->" and node in opened):
        yield from ((parent, "<-") for parent in sorted(graph.predecessors(node)))


def _written(state: tuple[str, str], came_from: dict[tuple[str, str], tuple[str, str] | None]) -> str:
    parts: list[str] = []
    step: tuple[str, str] | None = state
    while step is not None:
        parts += [step[0], step[1]]
        step = came_from[step]
    return " ".join(part for part in reversed(parts) if part)
