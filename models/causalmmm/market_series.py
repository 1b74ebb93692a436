"""From market marts to a ShopPanel: each market a shop, its channels, mediators and GMV the nodes.

Lags need every period of every node, so a market with a gap is left out and a series that never moves is no node; both
are listed with the reason. Which edges may exist follows from what a node is: nothing precedes its own outcome's
period by being GMV, so edges never start there; any other ordered pair may be one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.shops.panel import FEWEST_PERIODS, ShopPanel, every_edge_but_from

OUTCOME_ID = "gmv"
CHANNEL, MEDIATOR, OUTCOME = "channel", "mediator", "outcome"


@dataclass(frozen=True, slots=True, eq=False)
class MarketSeries:
    """panel: markets whose series are whole. node_kinds: node -> channel, mediator or outcome.

    periods: (T,) datetime64[D], first days. left_out: what is not in the panel: kind (market or node), name, reason.
    """

    panel: ShopPanel
    node_kinds: dict[str, str]
    periods: np.ndarray
    left_out: pd.DataFrame


def market_series(
    market_periods: pd.DataFrame,
    market_channel_periods: pd.DataFrame,
    mediator_periods: pd.DataFrame,
    market_covariate_periods: pd.DataFrame,
) -> MarketSeries:
    """The panel of the marts of these names; extra columns are ignored.

    market_periods: market_id, period_start_date, gmv_net_amount. market_channel_periods: market_id, channel_id,
    period_start_date, intensity. mediator_periods: market_id, mediator_name, period_start_date, mediator_value.
    market_covariate_periods: market_id, covariate_name, period_start_date, covariate_value; they become context where
    they are whole for the markets of the panel.

    Raises
    ------
    PanelError : a name is both a channel and a mediator or GMV; no market, or fewer than two nodes, are left.
    """
    gmv = market_periods.assign(node=OUTCOME_ID, value=market_periods["gmv_net_amount"])
    channels = market_channel_periods.rename(columns={"channel_id": "node", "intensity": "value"})
    mediators = mediator_periods.rename(columns={"mediator_name": "node", "mediator_value": "value"})
    kinds = _node_kinds(channels["node"], mediators["node"])
    columns = ["market_id", "period_start_date", "node", "value"]
    rows = pd.concat(
        [frame[columns] for frame in (channels, mediators, gmv) if len(frame)], ignore_index=True
    )
    rows["value"] = rows["value"].astype("float64")
    periods = np.unique(
        pd.to_datetime(market_periods["period_start_date"]).to_numpy().astype("datetime64[D]")
    )
    if len(periods) < FEWEST_PERIODS:
        raise PanelError(
            f"market_periods has {len(periods)} periods; a graph needs {FEWEST_PERIODS} at the least. Land more data."
        )
    markets = np.unique(rows["market_id"].astype(str))
    nodes = [node for node in kinds if node != OUTCOME_ID] + [OUTCOME_ID]
    grid = _grid(rows, markets, periods, nodes)
    left_out: list[tuple[str, str, str]] = []
    whole = np.isfinite(grid).all(axis=(1, 2))
    for market in np.flatnonzero(~whole):
        left_out.append(("market", str(markets[market]), _gap(grid[market], nodes, len(periods))))
    if not whole.any():
        raise PanelError(
            f"none of {len(markets)} markets has every node in each of {len(periods)} periods, first: "
            f"{left_out[0][1]!r}: {left_out[0][2]}. Fill spend with 0 where nothing was spent."
        )
    grid, markets = grid[whole], markets[whole]
    moves = (grid.max(axis=1) > grid.min(axis=1)).any(axis=0)
    for node in np.flatnonzero(~moves):
        left_out.append(("node", nodes[node], "it never changes in any market"))
    nodes = [node for node, moved in zip(nodes, moves, strict=True) if moved]
    if len(nodes) < 2 or OUTCOME_ID not in nodes:
        raise PanelError(
            f"only {nodes} change over time; a graph needs {OUTCOME_ID} and one channel or mediator that do."
        )
    context, context_ids, gaps = _context(market_covariate_periods, markets, periods)
    left_out += gaps
    panel = ShopPanel(
        values=grid[:, :, moves],
        shop_ids=tuple(markets),
        node_ids=tuple(nodes),
        outcome_id=OUTCOME_ID,
        context=context,
        context_ids=context_ids,
        planned_ids=tuple(node for node in nodes if kinds[node] == CHANNEL),
        allowed=every_edge_but_from(nodes, OUTCOME_ID),
    )
    listed = pd.DataFrame(left_out, columns=["kind", "name", "reason"])
    return MarketSeries(panel, {node: kinds[node] for node in nodes}, periods, listed)


def _node_kinds(channels: pd.Series, mediators: pd.Series) -> dict[str, str]:
    found = {
        CHANNEL: sorted(set(channels.astype(str))),
        MEDIATOR: sorted(set(mediators.astype(str))),
        OUTCOME: [OUTCOME_ID],
    }
    names = [name for group in found.values() for name in group]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise PanelError(
            f"{repeated} are names of more than one of channels, mediators and the outcome ({OUTCOME_ID!r}); a graph "
            "cannot tell them apart. Rename the channel or the mediator in the data."
        )
    return {name: kind for kind, group in found.items() for name in group}


def _grid(rows: pd.DataFrame, markets: np.ndarray, periods: np.ndarray, nodes: list[str]) -> np.ndarray:
    """(markets, periods, nodes), NaN where there is no row. Rows of other periods are left out."""
    when = pd.to_datetime(rows["period_start_date"]).to_numpy().astype("datetime64[D]")
    inside = np.isin(when, periods)
    grid = np.full((len(markets), len(periods), len(nodes)), np.nan)
    position = {node: i for i, node in enumerate(nodes)}
    at = (
        np.searchsorted(markets, rows["market_id"].astype(str).to_numpy()[inside]),
        np.searchsorted(periods, when[inside]),
        rows["node"].astype(str).map(position).to_numpy(dtype=np.int64)[inside],
    )
    grid[at] = rows["value"].to_numpy()[inside]
    return grid


def _gap(values: np.ndarray, nodes: list[str], periods_count: int) -> str:
    """Which node of a market has the most holes, in words."""
    holes = (~np.isfinite(values)).sum(axis=0)
    worst = int(holes.argmax())
    return f"{nodes[worst]} is known in {periods_count - holes[worst]} of {periods_count} periods"


def _context(
    frame: pd.DataFrame, markets: np.ndarray, periods: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...], list[tuple[str, str, str]]]:
    """Covariates that are whole, (markets, periods, variables); the others with the reason."""
    names = sorted(set(frame["covariate_name"].astype(str)))
    rows = frame.rename(columns={"covariate_name": "node", "covariate_value": "value"})
    rows = rows[rows["market_id"].astype(str).isin(markets)]
    grid = _grid(rows, markets, periods, names)
    whole = np.isfinite(grid).all(axis=(0, 1))
    gaps = [
        ("context", name, "it has gaps in markets of the panel")
        for name, kept in zip(names, whole, strict=True)
        if not kept
    ]
    return grid[:, :, whole], tuple(name for name, kept in zip(names, whole, strict=True) if kept), gaps


def panel_of_wide_rows(
    rows: pd.DataFrame, node_ids: tuple[str, ...], allowed: np.ndarray, context_ids: tuple[str, ...] = ()
) -> ShopPanel:
    """Rows of markets in order of time (market_id, a column a node, context columns or 0) as a panel to be scored.

    Raises
    ------
    PanelError : a column is missing, markets have different numbers of rows, or a value is not finite.
    """
    missing = [name for name in ("market_id", *node_ids) if name not in rows.columns]
    if missing:
        raise PanelError(
            f"the rows lack {missing}; the graph was fitted on {list(node_ids)}. Add the columns."
        )
    markets, index = np.unique(rows["market_id"].astype(str).to_numpy(dtype=object), return_inverse=True)
    counts = np.bincount(index)
    if (counts != counts[0]).any():
        raise PanelError(
            f"markets have {counts.min()} to {counts.max()} rows; each needs the same periods. Fill or cut the series."
        )
    order = np.argsort(index, kind="stable")
    known = [name for name in context_ids if name in rows.columns]

    def cube(frame: pd.DataFrame) -> np.ndarray:
        return frame.to_numpy(dtype=float)[order].reshape(len(markets), counts[0], frame.shape[1])

    return ShopPanel(
        values=cube(rows[list(node_ids)]),
        shop_ids=tuple(markets),
        node_ids=node_ids,
        outcome_id=OUTCOME_ID,
        context=cube(rows[known].reindex(columns=list(context_ids), fill_value=0.0)),
        context_ids=context_ids,
        planned_ids=(),
        allowed=allowed,
    )
