"""From contract-shaped event tables to the marts a panel is built from, without a warehouse.

A short path for recovery tests. It applies the rules of the dbt project (design section 3) to the same event
tables: first whole period after first_seen_at, pre-period left out, end of the panel, pre-period summaries.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

SPEND_STRATA = np.array(["none", "low", "middle", "high"], dtype=object)


def build_mart_frames(
    tables: dict[str, pd.DataFrame],
    period_starts: np.ndarray,
    period_end: np.datetime64,
    pre_periods_count: int,
) -> dict[str, pd.DataFrame]:
    """Marts `consumer_periods`, `consumer_channel_periods`, `consumer_characteristics`, `market_covariate_periods`.

    Parameters
    ----------
    tables : transactions, exposures, consumers, market_covariates as in the input contract
    period_starts : (T,) datetime64[D], every period of the data
    period_end : first day after the last period
    pre_periods_count : how many of the first periods are the pre-period
    """
    consumers = tables["consumers"].sort_values("consumer_id", ignore_index=True)
    ids = pd.Index(consumers["consumer_id"])
    count, periods = len(ids), len(period_starts)
    edges = np.append(period_starts, period_end)

    transactions, exposures = tables["transactions"], tables["exposures"]
    who, when = _cells(transactions, ids, edges)
    amount = transactions["gmv_amount"].to_numpy(dtype=float)
    is_return = transactions["is_return"].to_numpy(dtype=bool)
    cell = who * periods + when
    net = np.bincount(cell, amount, count * periods).reshape(count, periods)
    gross = np.bincount(cell, np.where(is_return, 0.0, amount), count * periods).reshape(count, periods)
    purchases = np.bincount(cell, ~is_return, count * periods).reshape(count, periods)
    transactions_count = np.bincount(cell, minlength=count * periods).reshape(count, periods)
    exposed_who, exposed_when = _cells(exposures, ids, edges)
    exposure_events = np.bincount(exposed_who * periods + exposed_when, minlength=count * periods)
    activity = transactions_count + exposure_events.reshape(count, periods)

    first_seen = consumers["first_seen_at"].to_numpy().astype("datetime64[D]")
    active_until = consumers["active_until"].to_numpy().astype("datetime64[D]")
    in_spine, in_panel, reason = _panel_rows(edges, first_seen, active_until, activity, pre_periods_count)
    row_who, row_when = np.nonzero(in_spine)
    consumer_periods = pd.DataFrame(
        {
            "consumer_id": ids.to_numpy()[row_who],
            "market_id": consumers["market_id"].to_numpy()[row_who],
            "period_start_date": period_starts[row_when].astype("datetime64[s]"),
            "period_index": row_when,
            "gmv_net_amount": net[row_who, row_when].round(4),
            "gmv_gross_amount": gross[row_who, row_when].round(4),
            "transactions_count": transactions_count[row_who, row_when],
            "is_pre_period": row_when < pre_periods_count,
            "is_in_panel": in_panel[row_who, row_when],
            "exclusion_reason": reason[row_who, row_when],
        }
    )
    return {
        "consumer_periods": consumer_periods,
        "consumer_channel_periods": _channel_periods(
            exposures, ids, exposed_who, exposed_when, period_starts
        ),
        "consumer_characteristics": _characteristics(
            consumers,
            net[:, :pre_periods_count],
            purchases[:, :pre_periods_count],
            first_seen,
            edges,
            pre_periods_count,
        ),
        "market_covariate_periods": tables["market_covariates"]
        .melt(["market_id", "period_start_date"], var_name="covariate_name", value_name="covariate_value")
        .dropna(subset="covariate_value"),
    }


def _cells(events: pd.DataFrame, ids: pd.Index, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    days = events["occurred_at"].to_numpy().astype("datetime64[D]")
    return ids.get_indexer(events["consumer_id"]), np.searchsorted(edges, days, side="right") - 1


def _panel_rows(
    edges: np.ndarray,
    first_seen: np.ndarray,
    active_until: np.ndarray,
    activity: np.ndarray,
    pre_periods_count: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spine, panel membership and exclusion reason, each (consumers, periods).

    Where the end is unknown, period t counts only if some activity exists at a later period: ending at the
    last activity would make that last row a collider, padding would invent zeros.
    """
    starts, ends = edges[:-1], edges[1:]
    in_spine = ends[None, :] > first_seen[:, None]
    whole = starts[None, :] >= first_seen[:, None]
    known = ~np.isnat(active_until)
    before_end = np.where(known[:, None], ends[None, :] <= active_until[:, None] + 1, False)
    seen_later = np.zeros_like(in_spine)
    seen_later[:, :-1] = np.cumsum(activity[:, ::-1], axis=1)[:, ::-1][:, 1:] > 0
    active = np.where(known[:, None], before_end, seen_later)
    after_pre = np.arange(len(starts))[None, :] >= pre_periods_count
    reason = np.full(in_spine.shape, None, dtype=object)
    reason[~active] = "no_later_activity"
    reason[known[:, None] & ~before_end] = "after_active_until"
    reason[np.broadcast_to(~after_pre, reason.shape)] = "pre_period"
    reason[~whole] = "partial_first_period"
    return in_spine, in_spine & whole & active & after_pre, reason


def _channel_periods(
    exposures: pd.DataFrame, ids: pd.Index, who: np.ndarray, when: np.ndarray, period_starts: np.ndarray
) -> pd.DataFrame:
    channel, names = pd.factorize(exposures["channel_id"], sort=True)
    key = (who * len(names) + channel) * len(period_starts) + when
    cells, position = np.unique(key, return_inverse=True)
    counts = np.bincount(position, exposures["exposures_count"].to_numpy(dtype=float)).astype(np.int64)
    rest, cell_when = np.divmod(cells, len(period_starts))
    cell_who, cell_channel = np.divmod(rest, len(names))
    return pd.DataFrame(
        {
            "consumer_id": ids.to_numpy()[cell_who],
            "channel_id": np.asarray(names, dtype=object)[cell_channel],
            "period_start_date": period_starts[cell_when].astype("datetime64[s]"),
            "exposures_count": counts,
        }
    )


def _characteristics(
    consumers: pd.DataFrame,
    net: np.ndarray,
    purchases: np.ndarray,
    first_seen: np.ndarray,
    edges: np.ndarray,
    pre_periods_count: int,
) -> pd.DataFrame:
    """Declared characteristics and the pre-period's recency, frequency, monetary value and spend stratum.

    A consumer first seen after the pre-period has no pre-period summaries (missing) and stratum `none`; one
    without a purchase in it has recency equal to the length of the pre-period.
    """
    parts = []
    for name in consumers.columns.difference(["consumer_id", "market_id", "first_seen_at", "active_until"]):
        is_numeric = pd.api.types.is_numeric_dtype(consumers[name])
        parts.append(_characteristic(consumers["consumer_id"], name, consumers[name], is_numeric, "declared"))
    seen = first_seen < edges[pre_periods_count]
    ever = purchases.any(axis=1) if pre_periods_count else np.zeros(len(consumers), dtype=bool)
    recency = np.where(
        ever, np.argmax(purchases[:, ::-1] > 0, axis=1) if pre_periods_count else 0, pre_periods_count
    )
    spend = net.sum(axis=1)
    summaries = {
        "rfm_recency_periods": recency,
        "rfm_frequency_count": purchases.sum(axis=1),
        "rfm_monetary_amount": spend,
    }
    for name, values in summaries.items():
        column = pd.Series(np.where(seen, values, np.nan))
        parts.append(_characteristic(consumers["consumer_id"], name, column, True, "pre_period"))
    stratum = np.zeros(len(spend), dtype=int)
    buyers = spend > 0
    order = np.lexsort((np.arange(len(spend)), spend))
    for third, members in enumerate(np.array_split(order[buyers[order]], 3)):  # as SQL's ntile(3)
        stratum[members] = 1 + third
    labels = pd.Series(SPEND_STRATA[stratum])
    name = "pre_period_spend_stratum"
    parts.append(_characteristic(consumers["consumer_id"], name, labels, False, "pre_period"))
    return pd.concat(parts, ignore_index=True)


def _characteristic(
    ids: pd.Series, name: str, values: pd.Series, is_numeric: bool, origin: str
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "consumer_id": ids.to_numpy(dtype=object),
            "characteristic_name": name,
            "characteristic_kind": "numeric" if is_numeric else "categorical",
            "characteristic_origin": origin,
            "value_numeric": values.to_numpy(dtype=float) if is_numeric else np.nan,
            "value_text": None
            if is_numeric
            else values.astype(object).where(values.notna(), None).to_numpy(),
            "is_missing": values.isna().to_numpy(),
        }
    )
