"""What one regression on all channels holds fixed, and which channel's number may then be read causally.

The response model explains GMV by all channels at once. Let M_c be the channels that c drives: the model holds them at
what was recorded, so that its contribution of c is the joint effect's part that does not go through them (the whole
effect where M_c is empty). It is identified if the controls, with the channels outside {c} and M_c, block every
backdoor of {c} and M_c together (the adjustment criterion for sets of treatments, separation.py). Nodes that a channel
moves, mediators first of all, are never controls. Without a declared graph nothing is known to be adjusted for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import networkx as nx

from models.errors import GraphError
from models.response.causal_graph import CausalGraph, Node
from models.response.identification import identify
from models.response.market_panel import MarketPanel
from models.response.preparation import varying_controls
from models.response.separation import Condition, adjustment_condition, common_separator

NO_GRAPH = (
    "no causal graph is declared, so that nothing says whether what drives both exposure and GMV is adjusted for; "
    "declare one in causal_graph.yaml (mediamix propose-graph draws one up)"
)


@dataclass(frozen=True, slots=True)
class ChannelIdentification:
    """One channel.

    reason : why its contribution cannot be read causally; None where it can
    through : channels it drives, which the model holds at what was recorded
    total_reason : why the contribution is not its total effect; None where it is
    """

    channel_id: str
    reason: str | None
    through: tuple[str, ...] = ()
    total_reason: str | None = None

    @property
    def is_identified(self) -> bool:
        """Whether the contribution can be read causally, if the graph holds."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Adjustment:
    """controls: names of the panel's controls that the model has. channels: by channel_id. notes: for people.

    has_graph: whether somebody declared a graph; without one nobody asks for total and direct effects.
    """

    controls: tuple[str, ...]
    channels: dict[str, ChannelIdentification]
    notes: tuple[str, ...]
    has_graph: bool


def choose_adjustment(graph: CausalGraph | None, panel: MarketPanel, has_period_effects: bool) -> Adjustment:
    """Controls of the model and what they identify.

    graph : declared and accepted; None: every covariate that varies is a control, and no channel is identified
    has_period_effects : whether the model has effects of periods (several markets, and shocks)
    Raises GraphError where the graph's outcome is not the panel's KPI.
    """
    recorded = varying_controls(panel)
    channel_ids = [str(channel) for channel in panel.channel_ids]
    if graph is None:
        found = {c: ChannelIdentification(c, NO_GRAPH, total_reason=NO_GRAPH) for c in channel_ids}
        return Adjustment(recorded, found, (), False)
    if graph.outcome != panel.kpi_name:
        raise GraphError(
            f"the graph's outcome is {graph.outcome!r} and the data's is {panel.kpi_name!r}; name it {panel.kpi_name}."
        )
    recorded, pool, notes = adjustable_pool(graph, panel, has_period_effects)
    channels = frozenset(graph.channels) & frozenset(channel_ids)
    conditions = {c: _condition(graph, c, channels) for c in channel_ids if c in channels}
    chosen = chosen_controls(graph, conditions, pool)
    controls = tuple(name for name in recorded if name in chosen)
    found = {}
    for channel in channel_ids:
        if channel not in conditions:
            reason = f"the declared graph has no channel {channel!r}; add it with its edges"
            found[channel] = ChannelIdentification(channel, reason, total_reason=reason)
        else:
            found[channel] = _judged(graph, channel, channels, conditions[channel], chosen, notes)
    return Adjustment(controls, found, tuple(notes.values()), True)


def adjustable_pool(
    graph: CausalGraph, panel: MarketPanel, has_period_effects: bool
) -> tuple[tuple[str, ...], frozenset[str], dict[str, str]]:
    """Recorded controls; nodes that the model can hold and no channel moves; and why it cannot hold others."""
    recorded = varying_controls(panel)
    held, notes = _held_nodes(graph, recorded, has_period_effects)
    moved = frozenset().union(*(nx.descendants(graph.digraph, c) for c in graph.channels))
    return recorded, held - moved - frozenset(graph.channels), notes


def driven_channels(graph: CausalGraph, channel: str, channels: frozenset[str]) -> frozenset[str]:
    """The channels that `channel` moves, directly or through others."""
    return frozenset(nx.descendants(graph.digraph, channel)) & channels


def _held_nodes(
    graph: CausalGraph, recorded: tuple[str, ...], has_period_effects: bool
) -> tuple[frozenset[str], dict[str, str]]:
    """Nodes that the model can hold, and why it cannot hold others that the graph says are adjustable."""
    held, notes = set(), {}
    for node in graph.nodes:
        if node.role in ("channel", "outcome") or not node.is_adjustable:
            continue
        reason = _why_not_held(node, recorded, has_period_effects)
        if reason is None:
            held.add(node.name)
        else:
            notes[node.name] = reason
    return frozenset(held), notes


def _why_not_held(node: Node, recorded: tuple[str, ...], has_period_effects: bool) -> str | None:
    if node.absorbed_by == "market" or node.name in recorded:
        return None
    if node.absorbed_by == "period":
        return (
            None if has_period_effects else f"{node.name}: the model has no effects of periods to absorb it"
        )
    return f"{node.name}: no complete series of that name in market_covariates that varies"


def _condition(graph: CausalGraph, channel: str, channels: frozenset[str]) -> Condition:
    treatments = driven_channels(graph, channel, channels) | {channel}
    return replace(
        adjustment_condition(graph.digraph, treatments, graph.outcome), given=channels - treatments
    )


def chosen_controls(
    graph: CausalGraph, conditions: dict[str, Condition], pool: frozenset[str]
) -> frozenset[str]:
    """A set that serves all channels that can be served, and causes of the outcome that cost none its answer."""
    served = [condition for condition in conditions.values() if condition.minimal(pool) is not None]
    common = common_separator(served, pool) if served else frozenset()
    if common is None:  # no set serves all: each channel is judged under the union
        common = frozenset().union(*(condition.minimal(pool) or frozenset() for condition in served))
    kept = [condition for condition in served if condition.holds(common)]
    for node in sorted(pool & nx.ancestors(graph.digraph, graph.outcome) - common):
        if all(condition.holds(common | {node}) for condition in kept):
            common = common | {node}
    return common


def _judged(
    graph: CausalGraph,
    channel: str,
    channels: frozenset[str],
    condition: Condition,
    chosen: frozenset[str],
    notes: dict[str, str],
) -> ChannelIdentification:
    through = tuple(sorted(driven_channels(graph, channel, channels)))
    reason = None
    if not condition.holds(chosen):
        path = condition.open_path(chosen) or "a path that no recorded covariate blocks"
        on_path = [note for name, note in notes.items() if name in path.split()]
        said = f" ({'; '.join(on_path)})" if on_path else ""
        reason = f"the declared graph leaves open {path}{said}"
    total = reason
    if through:
        asked = identify(graph, channel)
        total = (
            asked.reason
            if not asked.is_identified
            else f"part of the effect goes through {', '.join(through)}, held at what was recorded: the contribution "
            "is the direct effect, and no converged model without them gives the total one"
        )
    return ChannelIdentification(channel, reason, through, total)
