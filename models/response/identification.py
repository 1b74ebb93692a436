"""Whether the graph lets the data tell a channel's effect, and what must and must not be adjusted for.

Total effect: everything a change of the channel does to the outcome, through other channels and mediators too; by
adjustment (backdoor), else by the front door (Pearl 1995, with observed covariates). Direct effect: with the mediators
held where they are (controlled direct effect); by joint adjustment for channel and mediators. Mediated effect: the
outcome's change when the mediators alone move as the channel would move them (natural indirect effect; Pearl 2001,
Imai et al. 2010: no cause of mediator and outcome may itself be an effect of the channel); what goes through other
nodes counts as direct there.

Adjustment is complete: a set is found if one exists. The front door and mediation are sufficient conditions; beyond
them do-calculus identifies further graphs, which are refused here. Instruments are named, not used: they identify an
effect only with linearity or monotonicity besides. What the graph says is assumed, not tested.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations

import networkx as nx

from models.errors import GraphError, NotIdentifiedError
from models.response.causal_graph import CausalGraph
from models.response.separation import (
    Condition,
    adjustment_condition,
    causal_nodes,
    common_separator,
    forbidden_nodes,
    without_departures,
)

EFFECTS = ("total_effect", "direct_effect", "mediated_effect")
LARGEST_FRONT_DOOR = 3


@dataclass(frozen=True, slots=True)
class Identification:
    """What the graph says about one query.

    estimand : one of EFFECTS; channel, outcome : names
    method : backdoor, front_door, mediation or no_path (the effect is 0 by assumption); None: not identified
    adjustment_set : sorted names to hold fixed. With market or period effects for nodes those absorb
    mediators : the nodes the front door goes through, or that the direct or mediated effect is about
    never_adjust : observed name -> why adjusting for it would bias this effect
    instruments : observed causes of the channel through which the outcome moves only by the channel
    open_path : where not identified, a path nothing observed blocks; empty otherwise
    reason : one sentence for people
    """

    estimand: str
    channel: str
    outcome: str
    method: str | None
    adjustment_set: tuple[str, ...]
    mediators: tuple[str, ...]
    never_adjust: dict[str, str]
    instruments: tuple[str, ...]
    open_path: str
    reason: str

    @property
    def is_identified(self) -> bool:
        """Whether the data can tell the effect if the graph holds."""
        return self.method is not None

    def require(self) -> Identification:
        """Itself. NotIdentifiedError, with the reason and the open path, where the effect is not identified."""
        if not self.is_identified:
            raise NotIdentifiedError(self.reason)
        return self


@dataclass(frozen=True, slots=True)
class AdjustmentVerdict:
    """Whether a set may be adjusted for: forbidden members with the reason, and the path it leaves or makes open."""

    is_valid: bool
    forbidden: dict[str, str]
    open_path: str


def identify(
    graph: CausalGraph, channel: str, estimand: str = "total_effect", mediators: Collection[str] = ()
) -> Identification:
    """Decide one query.

    mediators : for direct and mediated effects, the nodes held or moved; empty: the causes of the outcome that lie on
        the channel's paths to it.
    Raises GraphError for an unknown channel or estimand, and for mediators that lie on none of the channel's paths.
    """
    if estimand not in EFFECTS:
        raise GraphError(f"estimand is {estimand!r}; it must be one of {', '.join(EFFECTS)}.")
    _require_channel(graph, channel)
    if estimand == "total_effect":
        if mediators:
            raise GraphError(
                "mediators are given with a total effect, which goes through all of them; leave them out."
            )
        return _total(graph, channel)
    chosen = _chosen_mediators(graph, channel, mediators)
    return (_direct if estimand == "direct_effect" else _mediated)(graph, channel, chosen)


def identify_all(graph: CausalGraph) -> tuple[Identification, ...]:
    """Every effect of every channel, in the order of channels and EFFECTS."""
    return tuple(identify(graph, channel, estimand) for channel in graph.channels for estimand in EFFECTS)


def judge_adjustment(graph: CausalGraph, channel: str, covariates: Collection[str]) -> AdjustmentVerdict:
    """Whether adjusting for exactly `covariates` gives the channel's total effect. GraphError for unknown names."""
    _require_channel(graph, channel)
    unknown = sorted(set(covariates) - graph.adjustable)
    if unknown:
        raise GraphError(
            f"{', '.join(unknown)} cannot be adjusted for: no node of the graph, or neither observed nor absorbed by "
            "effects of markets or periods. Leave it out."
        )
    wrong = {n: r for n, r in _forbidden_reasons(graph, channel).items() if n in set(covariates)}
    rest = frozenset(covariates) - frozenset(wrong)
    path = adjustment_condition(graph.digraph, {channel}, graph.outcome).open_path(rest)
    return AdjustmentVerdict(not wrong and path is None, wrong, path or "")


# -------------------------------------------------------------------------- total effect
def _total(graph: CausalGraph, channel: str) -> Identification:
    directed, outcome = graph.digraph, graph.outcome
    condition = adjustment_condition(directed, {channel}, outcome)
    pool = graph.adjustable - forbidden_nodes(directed, {channel}, outcome) - {channel}
    found = condition.minimal(pool)
    if found is not None:
        return _answer(graph, "total_effect", channel, "backdoor", found)
    door = _front_door(graph, channel)
    if door is not None:
        return _answer(graph, "total_effect", channel, "front_door", door[1], door[0])
    path = condition.open_path(condition.relevant(pool)) or ""
    return _refusal(graph, "total_effect", channel, (), path, "nothing observed blocks the path")


def _front_door(graph: CausalGraph, channel: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """Mediators that intercept every directed path, and covariates, such that both halves are identified."""
    directed, outcome = graph.digraph, graph.outcome
    after = nx.descendants(directed, channel)
    inner = sorted(causal_nodes(directed, {channel}, outcome) & graph.observed)
    pool = graph.adjustable - after - {channel}
    for size in range(1, LARGEST_FRONT_DOOR + 1):
        for door in map(frozenset, combinations(inner, size)):
            if nx.has_path(directed.subgraph(set(directed) - door), channel, outcome):
                continue
            found = common_separator(_mediator_conditions(graph, channel, door), pool)
            if found is not None:
                return door, found
    return None


def _mediator_conditions(graph: CausalGraph, channel: str, mediators: frozenset[str]) -> list[Condition]:
    """Channel to mediators without open backdoor, and mediators to outcome with the channel given."""
    directed = graph.digraph
    return [
        Condition(without_departures(directed, {channel}), frozenset({channel}), mediators),
        Condition(
            without_departures(directed, mediators),
            mediators,
            frozenset({graph.outcome}),
            frozenset({channel}),
        ),
    ]


# ------------------------------------------------------------- direct and mediated effect
def _direct(graph: CausalGraph, channel: str, mediators: frozenset[str]) -> Identification:
    directed, outcome = graph.digraph, graph.outcome
    bypass = _bypass(graph, channel, mediators)
    if bypass:
        why = "the direct effect needs every mediator held, and this path goes through none that is"
        return _refusal(graph, "direct_effect", channel, mediators, bypass, why)
    if not directed.has_edge(channel, outcome):
        return _answer(graph, "direct_effect", channel, "no_path", frozenset(), mediators)
    treatments = mediators | {channel}
    condition = adjustment_condition(directed, treatments, outcome)
    pool = graph.adjustable - forbidden_nodes(directed, treatments, outcome) - treatments
    found = condition.minimal(pool)
    if found is not None:
        return _answer(graph, "direct_effect", channel, "backdoor", found, mediators)
    path = condition.open_path(condition.relevant(pool)) or ""
    return _refusal(
        graph, "direct_effect", channel, mediators, path, "with mediators held, nothing observed blocks"
    )


def _mediated(graph: CausalGraph, channel: str, mediators: frozenset[str]) -> Identification:
    directed, outcome = graph.digraph, graph.outcome
    if not mediators:
        hidden = causal_nodes(directed, {channel}, outcome) - {outcome}
        if hidden:
            path = _bypass(graph, channel, mediators)
            return _refusal(
                graph, "mediated_effect", channel, mediators, path, "no mediator is observed on the path"
            )
        return _answer(graph, "mediated_effect", channel, "no_path", frozenset(), mediators)
    conditions = [
        *_mediator_conditions(graph, channel, mediators),
        Condition(without_departures(directed, {channel}), frozenset({channel}), frozenset({outcome})),
    ]
    pool = graph.adjustable - nx.descendants(directed, channel) - {channel}
    found = common_separator(conditions, pool)
    if found is not None:
        return _answer(graph, "mediated_effect", channel, "mediation", found, mediators)
    paths = (condition.open_path(condition.relevant(pool)) for condition in conditions)
    path = next((path for path in paths if path), "")
    why = (
        "no covariates unaffected by the channel block the path"
        if path
        else "no common set of covariates blocks all"
    )
    return _refusal(graph, "mediated_effect", channel, mediators, path, why)


def _bypass(graph: CausalGraph, channel: str, mediators: frozenset[str]) -> str:
    """A shortest directed path from channel to outcome with an inner node, none of them in `mediators`; or empty."""
    left = nx.DiGraph(graph.digraph.subgraph(set(graph.digraph) - mediators))
    if left.has_edge(channel, graph.outcome):
        left.remove_edge(channel, graph.outcome)
    if not nx.has_path(left, channel, graph.outcome):
        return ""
    return " -> ".join(nx.shortest_path(left, channel, graph.outcome))


def _chosen_mediators(graph: CausalGraph, channel: str, mediators: Collection[str]) -> frozenset[str]:
    directed, outcome = graph.digraph, graph.outcome
    inner = causal_nodes(directed, {channel}, outcome) - {outcome}
    if not mediators:
        last = inner & frozenset(directed.predecessors(outcome))
        return (last if last <= graph.observed else inner) & graph.observed
    wrong = sorted(frozenset(mediators) - (inner & graph.observed))
    if wrong:
        raise GraphError(
            f"{', '.join(wrong)} cannot mediate {channel!r}: not observed, or on no directed path from it to "
            f"{outcome!r}. Observed there: {', '.join(sorted(inner & graph.observed)) or 'nothing'}."
        )
    return frozenset(mediators)


# --------------------------------------------------------------------------- for people
def _forbidden_reasons(graph: CausalGraph, channel: str) -> dict[str, str]:
    """Observed nodes no adjustment for the total effect may hold, and why."""
    directed, outcome = graph.digraph, graph.outcome
    on_path = causal_nodes(directed, {channel}, outcome)
    reasons = {}
    for node in sorted(forbidden_nodes(directed, {channel}, outcome) & graph.observed):
        if node in on_path:
            to, rest = (nx.shortest_path(directed, a, b) for a, b in ((channel, node), (node, outcome)))
            reasons[node] = (
                f"mediator on {' -> '.join([*to, *rest[1:]])}: the effect through it would be taken away"
            )
        else:
            source = next(n for n in sorted(on_path) if node in nx.descendants(directed, n))
            path = " -> ".join(nx.shortest_path(directed, source, node))
            reasons[node] = (
                f"an effect of {source}, which the channel moves ({path}): it gives part of the effect away"
            )
    return reasons


def _never_adjust(
    graph: CausalGraph, channel: str, method: str | None, chosen: frozenset[str]
) -> dict[str, str]:
    """Forbidden nodes of the total effect, and nodes that open a path if added to the chosen set."""
    reasons = _forbidden_reasons(graph, channel)
    if method != "backdoor":
        return reasons
    condition = adjustment_condition(graph.digraph, {channel}, graph.outcome)
    for node in sorted(graph.adjustable - frozenset(reasons) - chosen - {channel}):
        path = condition.open_path(chosen | {node})
        if path is not None:
            reasons[node] = f"collider: adjusting for it opens {path}"
    return reasons


def _instruments(graph: CausalGraph, channel: str) -> tuple[str, ...]:
    """Observed nodes that move the channel and are separated from the outcome once its own arrows are cut."""
    cut = without_departures(graph.digraph, {channel})
    before = nx.ancestors(graph.digraph, channel) & graph.observed
    return tuple(n for n in sorted(before) if nx.is_d_separator(cut, {n}, {graph.outcome}, set()))


def _answer(
    graph: CausalGraph,
    estimand: str,
    channel: str,
    method: str,
    adjustment: frozenset[str],
    mediators: Collection[str] = (),
) -> Identification:
    held, through = ", ".join(sorted(adjustment)) or "nothing", ", ".join(sorted(mediators))
    reason = {
        "backdoor": f"adjust for {held}" + (f", holding {through}" if through else ""),
        "front_door": f"through {through}, adjusting for {held}",
        "mediation": f"through {through}, adjusting for {held} in both equations",
        "no_path": "the graph has no such path: 0 by assumption",
    }[method]
    total = estimand == "total_effect"
    return Identification(
        estimand=estimand,
        channel=channel,
        outcome=graph.outcome,
        method=method,
        adjustment_set=tuple(sorted(adjustment)),
        mediators=tuple(sorted(mediators)),
        never_adjust=_never_adjust(graph, channel, method, adjustment) if total else {},
        instruments=_instruments(graph, channel),
        open_path="",
        reason=f"{estimand} of {channel} on {graph.outcome}: {reason}.",
    )


def _refusal(
    graph: CausalGraph, estimand: str, channel: str, mediators: Collection[str], path: str, why: str
) -> Identification:
    instruments = _instruments(graph, channel)
    hint = (
        f" {', '.join(instruments)} could serve as an instrument, which takes linearity or monotonicity besides."
        if instruments
        else ""
    )
    return Identification(
        estimand=estimand,
        channel=channel,
        outcome=graph.outcome,
        method=None,
        adjustment_set=(),
        mediators=tuple(sorted(mediators)),
        never_adjust=_forbidden_reasons(graph, channel) if estimand == "total_effect" else {},
        instruments=instruments,
        open_path=path,
        reason=(
            f"{estimand} of {channel} on {graph.outcome} is not identified: {why}"
            f"{f' {path}' if path else ''}. Observe a node on it that blocks it, or run a lift test.{hint}"
        ),
    )


def _require_channel(graph: CausalGraph, channel: str) -> None:
    if channel not in graph.channels:
        raise GraphError(f"{channel!r} is no channel of the graph; it has {', '.join(graph.channels)}.")
