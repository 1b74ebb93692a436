"""Series of many shops over the same nodes: the only data that the graph models of this package accept.

A node is a channel's spend, a mediator (page views, baskets) or the outcome (GMV). Every shop has every node in every
period. Edges are arrays [shop, source, target] everywhere: the source comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.errors import PanelError

FEWEST_PERIODS = 3


@dataclass(frozen=True, slots=True, eq=False)
class ShopPanel:
    """N shops, T consecutive periods, D nodes, C context variables. Arrays are kept as read-only copies.

    values: (N, T, D) float64, each node in its own unit.
    shop_ids, node_ids, context_ids: N, D and C names, each unique.
    outcome_id: the node that is to be explained, by name (it may stand anywhere among the nodes).
    context: (N, T, C) float64, what shops are in or are like; a constant of a shop is repeated over its periods.
    planned_ids: nodes whose future values a forecaster may be told (planned spend).
    allowed: (D, D) bool [source, target], which edges may exist; its diagonal is False.

    Raises
    ------
    PanelError : shapes disagree, names repeat or are unknown, or a value is not finite.
    """

    values: np.ndarray
    shop_ids: tuple[str, ...]
    node_ids: tuple[str, ...]
    outcome_id: str
    context: np.ndarray
    context_ids: tuple[str, ...]
    planned_ids: tuple[str, ...]
    allowed: np.ndarray

    def __post_init__(self) -> None:
        for name in ("shop_ids", "node_ids", "context_ids", "planned_ids"):
            object.__setattr__(self, name, tuple(str(one) for one in getattr(self, name)))
            _no_repeats(name, getattr(self, name))
        object.__setattr__(self, "values", _read_only(self.values, np.float64))
        object.__setattr__(self, "context", _read_only(self.context, np.float64))
        object.__setattr__(self, "allowed", _checked_allowed(self.allowed, len(self.node_ids)))
        self._check_values()
        self._check_context()
        unknown = {self.outcome_id, *self.planned_ids} - set(self.node_ids)
        if unknown:
            raise PanelError(
                f"The outcome or a planned node is called {sorted(unknown)}, which is none of the nodes "
                f"{list(self.node_ids)}. Name nodes of the panel."
            )
        if self.outcome_id in self.planned_ids:
            raise PanelError(
                f"The outcome {self.outcome_id!r} is among `planned_ids`: a forecaster would be told what it is to "
                "forecast. Take it out."
            )

    def _check_values(self) -> None:
        shape = (len(self.shop_ids), len(self.node_ids))
        if self.values.ndim != 3 or self.values.shape[::2] != shape:
            raise PanelError(
                f"`values` has shape {self.values.shape}; {shape[0]} shops and {shape[1]} nodes are named, so "
                f"({shape[0]}, periods, {shape[1]}) belongs there."
            )
        if not self.shop_ids or len(self.node_ids) < 2 or self.periods_count < FEWEST_PERIODS:
            raise PanelError(
                f"The panel has {shape[0]} shops, {self.periods_count} periods and {shape[1]} nodes; an edge needs "
                f"one shop, {FEWEST_PERIODS} periods and two nodes at the least. Hand over more data."
            )
        if not np.isfinite(self.values).all():
            shop, period, node = np.argwhere(~np.isfinite(self.values))[0]
            raise PanelError(
                f"{int((~np.isfinite(self.values)).sum())} values are not finite, first: shop "
                f"{self.shop_ids[shop]!r}, period {period}, node {self.node_ids[node]!r}. Lags need every period: "
                "fill spend with 0 where nothing was spent, or leave the shop out."
            )

    def _check_context(self) -> None:
        shape = (len(self.shop_ids), self.periods_count, len(self.context_ids))
        if self.context.shape != shape:
            raise PanelError(
                f"`context` has shape {self.context.shape} where {shape} (shops, periods, context variables) belongs. "
                "Repeat a shop's constants over its periods; without context hand over an array with 0 columns."
            )
        if not np.isfinite(self.context).all():
            shop, period, column = np.argwhere(~np.isfinite(self.context))[0]
            raise PanelError(
                f"Context {self.context_ids[column]!r} of shop {self.shop_ids[shop]!r} is not finite in period "
                f"{period}. Fill it or leave the variable out."
            )

    @property
    def shops_count(self) -> int:
        """N."""
        return self.values.shape[0]

    @property
    def periods_count(self) -> int:
        """T."""
        return self.values.shape[1]

    @property
    def nodes_count(self) -> int:
        """D, the outcome among them."""
        return self.values.shape[2]

    @property
    def outcome_index(self) -> int:
        """Where the outcome stands among the nodes."""
        return self.node_ids.index(self.outcome_id)

    @property
    def planned(self) -> np.ndarray:
        """(D,) bool, which nodes are planned ahead."""
        return np.isin(self.node_ids, self.planned_ids)

    def shops(self, keep: Sequence[int] | np.ndarray) -> ShopPanel:
        """The shops at these positions (integers, or a bool for each shop), in that order."""
        positions = np.asarray(keep)
        positions = np.flatnonzero(positions) if positions.dtype == bool else positions
        return replace(
            self,
            values=self.values[positions],
            context=self.context[positions],
            shop_ids=tuple(self.shop_ids[i] for i in positions),
        )

    def periods(self, start: int | None, stop: int | None) -> ShopPanel:
        """Periods start, ..., stop - 1, as in a slice."""
        part = slice(start, stop)
        return replace(self, values=self.values[:, part], context=self.context[:, part])


def every_edge_but_from(node_ids: Sequence[str], outcome_id: str) -> np.ndarray:
    """(D, D) bool: each ordered pair of different nodes, but none that starts at the outcome."""
    allowed = ~np.eye(len(node_ids), dtype=bool)
    allowed[list(node_ids).index(outcome_id)] = False
    return allowed


def _no_repeats(name: str, ids: tuple[str, ...]) -> None:
    repeated = [one for one, count in Counter(ids).items() if count > 1]
    if repeated:
        raise PanelError(
            f"`{name}` holds {repeated[:3]} more than once. Names tell them apart: make them unique."
        )


def _read_only(array: np.ndarray, kind: type) -> np.ndarray:
    copied = np.array(array, dtype=kind, order="C")
    copied.setflags(write=False)
    return copied


def _checked_allowed(allowed: np.ndarray, nodes_count: int) -> np.ndarray:
    given = np.asarray(allowed)
    if given.dtype != bool or given.shape != (nodes_count, nodes_count):
        raise PanelError(
            f"`allowed` is {given.dtype} of shape {given.shape}; [source, target] of {nodes_count} nodes is bool of "
            f"shape ({nodes_count}, {nodes_count}). `every_edge_but_from` makes the usual one."
        )
    if given.diagonal().any():
        raise PanelError(
            "`allowed` holds edges from a node to itself; a node's own past is always part of the models. "
            "Set the diagonal to False."
        )
    return _read_only(given, bool)
