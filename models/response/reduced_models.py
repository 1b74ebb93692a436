"""Total effects of channels that drive other channels: the model once more, without the channels that they drive.

A model of all channels holds search where it was and so takes from tv what tv does through search. Left out, search is
a mediator like any other, and tv's contribution is its total effect, if what is left blocks tv's backdoors.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from models.response.adjustment import adjustable_pool, chosen_controls, driven_channels
from models.response.causal_graph import CausalGraph
from models.response.config import ResponseConfig
from models.response.market_panel import MarketPanel
from models.response.separation import adjustment_condition

_BY_CHANNEL = ("intensity", "spend", "exposures", "reach", "frequency")


@dataclass(frozen=True, slots=True)
class ReducedModel:
    """A model without some channels; channel_ids: whose total effects it gives. controls: of the panel."""

    without: tuple[str, ...]
    channel_ids: tuple[str, ...]
    controls: tuple[str, ...]

    def panel(self, panel: MarketPanel) -> MarketPanel:
        """The panel without the channels."""
        keep = ~np.isin(panel.channel_ids.astype(str), self.without)
        arrays = {name: getattr(panel, name)[..., keep] for name in _BY_CHANNEL}
        rest = {f.name: getattr(panel, f.name) for f in fields(panel) if f.name not in arrays}
        return MarketPanel(**rest | arrays | {"channel_ids": panel.channel_ids[keep]})

    def config(self, config: ResponseConfig) -> ResponseConfig:
        """The configuration for that panel."""
        priors = {channel: one for channel, one in config.priors.items() if channel not in self.without}
        return replace(config, controls=self.controls, priors=priors)


def reduced_models(
    graph: CausalGraph | None, panel: MarketPanel, has_period_effects: bool
) -> tuple[ReducedModel, ...]:
    """One model for each set of driven channels, of the channels whose total effect it identifies."""
    if graph is None:
        return ()
    channels = frozenset(graph.channels) & frozenset(map(str, panel.channel_ids))
    groups: dict[frozenset[str], list[str]] = {}
    for channel in sorted(channels):
        driven = driven_channels(graph, channel, channels)
        if driven:
            groups.setdefault(driven, []).append(channel)
    found = []
    recorded, pool, _ = adjustable_pool(graph, panel, has_period_effects)
    for driven, members in groups.items():
        conditions = {
            c: replace(adjustment_condition(graph.digraph, {c}, graph.outcome), given=channels - driven - {c})
            for c in members
        }
        chosen = chosen_controls(graph, conditions, pool)
        served = tuple(c for c in members if conditions[c].holds(chosen))
        if served:
            controls = tuple(name for name in recorded if name in chosen)
            found.append(ReducedModel(tuple(sorted(driven)), served, controls))
    return tuple(found)
