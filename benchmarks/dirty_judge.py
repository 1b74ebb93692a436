"""What the contract says of rows of cells, written anew in Python: the first reason of every row, or none.

Order and meaning of the reasons: docs/input_contract.md. Nothing here parses a text or reads a line of the SQL.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from assets.landing.contract import CONTRACT
from benchmarks.dirty_cells import BAD_TYPE, FRACTION, GOOD, MISSING, NOT_FINITE, Cell

Row = Mapping[str, Cell]  # column -> cell; columns that the contract does not name are open ones
#: In which tables rows are judged: listings before whoever refers to them.
TABLES = (
    "markets", "channels", "consumers", "transactions", "exposures", "market_covariates", "marketing_activities",
    "market_outcomes", "mediators", "lift_tests",
)  # fmt: skip
EARLIEST = dt.datetime(2000, 1, 1)
NUMERIC_OPEN = ("market_covariates", "market_outcomes", "mediators")


@dataclass(frozen=True)
class Known:
    """What listings accepted; currency: the commonest; landed_at: when the files came in, UTC."""

    markets: frozenset[str]
    channels: frozenset[str]
    consumers: frozenset[str]
    currency: str
    landed_at: dt.datetime


def judge(tables: Mapping[str, Sequence[Row]], landed_at: dt.datetime) -> dict[str, list[str | None]]:
    """Reason of every row by table, in the files' order; None is accepted."""
    currencies = Counter(
        row["currency_code"].value
        for name in ("transactions", "marketing_activities")
        for row in tables.get(name, ())
        if row["currency_code"].state == GOOD
    )
    currency = min(currencies, key=lambda code: (-currencies[code], code))
    known = Known(frozenset(), frozenset(), frozenset(), currency, landed_at)
    found: dict[str, list[str | None]] = {}
    for name in TABLES:
        if name not in tables:
            continue
        found[name] = _judge_table(name, tables[name], known)
        if name in ("markets", "channels", "consumers"):
            key = CONTRACT[name].key[0]
            accepted = frozenset(
                row[key].value
                for row, reason in zip(tables[name], found[name], strict=True)
                if reason is None
            )
            known = Known(**{**vars(known), name: accepted})
    return found


def _judge_table(name: str, rows: Sequence[Row], known: Known) -> list[str | None]:
    first = [_first_fault(name, row, known) for row in rows]
    contract = CONTRACT[name]
    by_key: dict[tuple, list[int]] = {}
    for place, (row, reason) in enumerate(zip(rows, first, strict=True)):
        if reason is None:
            by_key.setdefault(
                tuple(row[one].value if one in row else None for one in contract.key), []
            ).append(place)
    for places in by_key.values():
        contents = [_content(contract, rows[place]) for place in places]
        seen = False
        for place, content in zip(places, contents, strict=True):
            if content != contents[-1]:
                first[place] = "conflicting_duplicate"
            elif seen:
                first[place] = "exact_duplicate"
            else:
                seen = True
    return first


def _content(contract, row: Row) -> tuple:
    kept = [
        row[name].value if name in row else None for name in contract.column_names if name not in contract.key
    ]
    if contract.is_open:
        more = sorted(
            (n, c.text) for n, c in row.items() if n not in contract.column_names and c.state != MISSING
        )
        kept += more
    return tuple(kept)


def _first_fault(name: str, row: Row, known: Known) -> str | None:
    contract = CONTRACT[name]
    cells = {column.name: row.get(column.name, Cell("", MISSING)) for column in contract.columns}
    given = {n: cell.value for n, cell in cells.items() if cell.state == GOOD}
    keys = [c.name for c in contract.columns if c.name in contract.key and not c.is_nullable]
    required = [c.name for c in contract.columns if not c.is_nullable and c.name not in keys]
    open_cells = [cell for n, cell in row.items() if n not in cells] if name in NUMERIC_OPEN else []
    states = [cell.state for cell in cells.values()]
    open_states = [cell.state for cell in open_cells]

    def has(reason: str) -> bool:
        rule: Callable[[dict, dict, Known], bool] | None = RULES[name].get(reason)
        return rule is not None and bool(rule(given, cells, known))

    if any(cells[n].state == MISSING for n in keys):
        return "missing_key"
    if any(cells[n].state == MISSING for n in required) or has("missing_value"):
        return "missing_value"
    if BAD_TYPE in states or BAD_TYPE in open_states:
        return "bad_type"
    if NOT_FINITE in states or NOT_FINITE in open_states:
        return "not_finite"
    if has("negative_amount"):
        return "negative_amount"
    if has("sign_conflict"):
        return "sign_conflict"
    if FRACTION in states or has("invalid_count"):
        return "invalid_count"
    for reason in (
        "unknown_consumer", "unknown_market", "unknown_channel", "out_of_range_date", "future_date",
        "misaligned_period", "wrong_currency",
    ):  # fmt: skip
        if has(reason):
            return reason
    return None


def _below(*names: str) -> Callable[[dict, dict, Known], bool]:
    return lambda given, cells, known: any(given.get(n) is not None and given[n] < 0 for n in names)


def _is_monday(given: dict, cells: dict, known: Known) -> bool:
    return given["period_start_date"].weekday() != 0


def _not_in(column: str, entity: str) -> Callable[[dict, dict, Known], bool]:
    return lambda given, cells, known: (
        given.get(column) is not None and given[column] not in getattr(known, entity)
    )


def _any_not_in(column: str, entity: str) -> Callable[[dict, dict, Known], bool]:
    return lambda given, cells, known: not set(given[column]) <= getattr(known, entity)


_PERIODS = {
    "unknown_market": _not_in("market_id", "markets"),
    "out_of_range_date": lambda g, c, k: g["period_start_date"] < EARLIEST.date(),
    "future_date": lambda g, c, k: g["period_start_date"] > k.landed_at.date(),
    "misaligned_period": _is_monday,
}
_MOMENTS = {
    "unknown_consumer": _not_in("consumer_id", "consumers"),
    "out_of_range_date": lambda g, c, k: g["occurred_at"] < EARLIEST,
    "future_date": lambda g, c, k: g["occurred_at"] > k.landed_at,
}
#: table -> reason -> rule over (values, cells, known); periods are weeks.
RULES: dict[str, dict[str, Callable[[dict, dict, Known], bool]]] = {
    "markets": {"invalid_count": _below("population")},
    "channels": {"negative_amount": _below("cost_per_exposure")},
    "consumers": {
        "unknown_market": _not_in("market_id", "markets"),
        "out_of_range_date": lambda g, c, k: (
            g["first_seen_at"] < EARLIEST or g.get("active_until", EARLIEST.date()) < EARLIEST.date()
        ),
        "future_date": lambda g, c, k: g["first_seen_at"] > k.landed_at,
    },
    "transactions": _MOMENTS
    | {
        "negative_amount": lambda g, c, k: (
            not g.get("is_return", False) and _below("gmv_amount", "discount_amount")(g, c, k)
        ),
        "sign_conflict": lambda g, c, k: g.get("is_return", False) and g["gmv_amount"] > 0,
        "invalid_count": lambda g, c, k: not g.get("is_return", False) and _below("units_count")(g, c, k),
        "unknown_market": _not_in("market_id", "markets"),
        "wrong_currency": lambda g, c, k: g["currency_code"] != k.currency,
    },
    "exposures": _MOMENTS
    | {
        "invalid_count": lambda g, c, k: g["exposures_count"] < 1,
        "unknown_channel": _not_in("channel_id", "channels"),
    },
    "market_covariates": _PERIODS,
    "marketing_activities": _PERIODS
    | {
        "missing_value": lambda g, c, k: (
            c["spend_amount"].state != MISSING and c["currency_code"].state == MISSING
        ),
        "negative_amount": _below("spend_amount", "intensity", "frequency"),
        "invalid_count": _below("reach_count"),
        "unknown_channel": _not_in("channel_id", "channels"),
        "wrong_currency": lambda g, c, k: (
            c["spend_amount"].state != MISSING and g["currency_code"] != k.currency
        ),
    },
    "market_outcomes": _PERIODS | {"negative_amount": _below("gmv_amount")},
    "mediators": _PERIODS,
    "lift_tests": {
        "missing_value": lambda g, c, k: (
            c["spend_delta_amount"].state == MISSING and c["exposures_delta_count"].state == MISSING
        ),
        "negative_amount": _below("lift_standard_error"),
        "unknown_market": _any_not_in("market_ids", "markets"),
        "unknown_channel": _any_not_in("channel_ids", "channels"),
        "out_of_range_date": lambda g, c, k: (
            g["start_date"] < EARLIEST.date() or g["end_date"] < g["start_date"]
        ),
        "future_date": lambda g, c, k: g["end_date"] > k.landed_at.date(),
    },
}
