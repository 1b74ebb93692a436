"""Dirty files of every table: rows drawn by hypothesis, with faults of every kind, copies and corrections."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from assets.landing.contract import CONTRACT
from benchmarks import dirty_cells as cells
from benchmarks.dirty_cells import EMPTY, FAULTS, Cell
from benchmarks.dirty_judge import TABLES, Row

MARKETS, CHANNELS = (
    ("north", "south", "Robert'); DROP TABLE markets;--", "{{ 7 * 7 }}"),
    ("tv", "podcast", "push 🛒"),
)
CONSUMERS = tuple(f"c{number}" for number in range(40))
KPIS = {
    "market_covariates": ("temperature", "price; --"),
    "market_outcomes": ("orders",),
    "mediators": ("page_views",),
}


def _optional(strategy: st.SearchStrategy[Cell]) -> st.SearchStrategy[Cell]:
    return st.one_of(strategy, strategy, EMPTY)


#: Values that are right in themselves, though a rule between columns may refuse them: table -> column -> cells.
_PERIOD = cells.days(step=7)
GOOD_CELLS: dict[str, dict[str, st.SearchStrategy[Cell]]] = {
    "markets": {
        "market_id": cells.names(*MARKETS, "m1", "m2", "m3"),
        "name": _optional(cells.words()),
        "population": _optional(cells.counts(0, 9_000)),
    },
    "channels": {
        "channel_id": cells.names(*CHANNELS, "mail", "sms"),
        "name": _optional(cells.words()),
        "kind": _optional(cells.names("paid", "owned")),
        "cost_per_exposure": _optional(cells.money(0, 3)),
    },
    "consumers": {
        "consumer_id": cells.names(*CONSUMERS),
        "market_id": _optional(cells.names(*MARKETS)),
        "first_seen_at": cells.moments(),
        "active_until": _optional(cells.days()),
        "plan": _optional(cells.words()),
    },
    "transactions": {
        "transaction_id": st.integers(0, 10**9).map(lambda n: Cell(f"t{n}", cells.GOOD, f"t{n}")),
        "consumer_id": cells.names(*CONSUMERS),
        "market_id": cells.names(*MARKETS),
        "occurred_at": cells.moments(),
        "gmv_amount": cells.money(),
        "currency_code": cells.names("EUR"),
        "is_return": EMPTY,
        "units_count": _optional(cells.counts()),
        "discount_amount": _optional(cells.money(0, 20)),
    },
    "exposures": {
        "consumer_id": cells.names(*CONSUMERS),
        "channel_id": cells.names(*CHANNELS),
        "occurred_at": cells.moments(),
        "exposures_count": cells.counts(),
        "campaign_id": _optional(cells.words()),
        "exposure_id": _optional(cells.words()),
    },
    "marketing_activities": {
        "market_id": cells.names(*MARKETS),
        "channel_id": cells.names(*CHANNELS),
        "period_start_date": _PERIOD,
        "spend_amount": _optional(cells.money()),
        "intensity": cells.numbers(0.0, 1e6),
        "currency_code": cells.names("EUR"),
        "reach_count": _optional(cells.counts(0, 900)),
        "frequency": _optional(cells.numbers(0.0, 20.0)),
    },
    "lift_tests": {
        "lift_test_id": st.integers(0, 10**9).map(lambda n: Cell(f"{n}", cells.GOOD, f"{n}")),
        "channel_ids": cells.lists_of(*CHANNELS),
        "market_ids": cells.lists_of(*MARKETS),
        "start_date": cells.days(),
        "end_date": cells.days(),
        "spend_delta_amount": _optional(cells.money()),
        "exposures_delta_count": _optional(cells.counts()),
        "lift_amount": cells.money(-50, 50),
        "lift_standard_error": cells.money(0, 20),
        "kpi": cells.names("gmv"),
    },
}
for _name, _kpis in KPIS.items():
    GOOD_CELLS[_name] = {"market_id": cells.names(*MARKETS), "period_start_date": _PERIOD}
    if _name == "market_outcomes":
        GOOD_CELLS[_name]["gmv_amount"] = cells.money()
    GOOD_CELLS[_name] |= {kpi: _optional(cells.numbers()) for kpi in _kpis}


def _value(text: str, value: Any) -> Cell:
    return Cell(text, cells.GOOD, value)


def _moment(year: int) -> Cell:
    return _value(f"{year}-01-04T00:00:00Z", dt.datetime(year, 1, 4))


def _day(text: str) -> Cell:
    return _value(text, dt.date.fromisoformat(text))


_NEGATIVE = _value("-0.5", Decimal("-0.5000"))
_PERIOD_BREAKS = (
    {"market_id": _value("atlantis", "atlantis")},
    {"market_id": _value("North", "North")},
    {"period_start_date": _day("1999-12-27")},
    {"period_start_date": _day("2999-01-07")},
    {"period_start_date": _day("2024-01-03")},
)
_MOMENT_BREAKS = (
    {"consumer_id": _value("nobody", "nobody")},
    {"occurred_at": _moment(1970)},
    {"occurred_at": _moment(2999)},
)
#: Values of the right kind that a rule refuses, alone or together: table -> changes of a row.
BREAKS: dict[str, tuple[dict[str, Cell], ...]] = {
    "markets": ({"population": _value("-1", -1)},),
    "channels": ({"cost_per_exposure": _NEGATIVE},),
    "consumers": (
        {"market_id": _value("atlantis", "atlantis")},
        {"first_seen_at": _moment(1970)},
        {"first_seen_at": _moment(2999)},
        {"active_until": _day("1999-12-31")},
    ),
    "transactions": (
        *_MOMENT_BREAKS,
        {"market_id": _value("atlantis", "atlantis")},
        {"gmv_amount": _NEGATIVE},
        {"gmv_amount": _NEGATIVE, "is_return": _value("true", True)},
        {"is_return": _value("1", True)},
        {"discount_amount": _NEGATIVE},
        {"units_count": _value("-1", -1)},
        {
            "units_count": _value("-1", -1),
            "gmv_amount": _value("0", Decimal("0.0000")),
            "is_return": _value("1", True),
        },
        {"currency_code": _value("USD", "USD")},
        {"currency_code": _value("eur", "eur")},
    ),
    "exposures": (
        *_MOMENT_BREAKS,
        {"channel_id": _value("fax", "fax")},
        {"exposures_count": _value("0", 0)},
        {"exposures_count": _value("-2", -2)},
    ),
    "market_covariates": _PERIOD_BREAKS,
    "mediators": _PERIOD_BREAKS,
    "market_outcomes": (*_PERIOD_BREAKS, {"gmv_amount": _NEGATIVE}),
    "marketing_activities": (
        *_PERIOD_BREAKS,
        {"channel_id": _value("fax", "fax")},
        {"spend_amount": _NEGATIVE},
        {"intensity": _value("-1", -1.0)},
        {"reach_count": _value("-3", -3)},
        {"spend_amount": _value("5", Decimal("5.0000")), "currency_code": Cell("", cells.MISSING)},
        {"spend_amount": _value("5", Decimal("5.0000")), "currency_code": _value("USD", "USD")},
        {"spend_amount": Cell("", cells.MISSING), "currency_code": _value("USD", "USD")},
    ),
    "lift_tests": (
        {"channel_ids": _value('["tv", "fax"]', ("tv", "fax"))},
        {"market_ids": _value('["atlantis"]', ("atlantis",))},
        {"lift_standard_error": _NEGATIVE},
        {"start_date": _day("1999-12-31")},
        {"end_date": _day("2999-01-01")},
        {"spend_delta_amount": Cell("", cells.MISSING), "exposures_delta_count": Cell("", cells.MISSING)},
    ),
}


@st.composite
def _rows(draw: Any, table: str) -> Row:
    """One row of a table, with none, one or several faults."""
    contract = CONTRACT[table]
    row = {name: draw(strategy) for name, strategy in GOOD_CELLS[table].items()}
    kinds = {column.name: column.kind for column in contract.columns} | dict.fromkeys(
        KPIS.get(table, ()), "number"
    )
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 1, 1, 2, 3]))):
        if draw(st.booleans()):
            row |= draw(st.sampled_from(BREAKS[table]))
        else:
            name = draw(st.sampled_from(sorted(kinds)))
            row[name] = draw(FAULTS[kinds[name]])
    return row


def draw_tables(rows_count: int, first_seed: int) -> dict[str, list[Row]]:
    """`rows_count` rows of every table; about every eighth repeats an earlier one, as it was or corrected."""
    found = {table: _drawn(table, rows_count, first_seed + place) for place, table in enumerate(TABLES)}
    for table, names in (("markets", MARKETS), ("channels", CHANNELS), ("consumers", CONSUMERS[:-4])):
        found[table] += [_listed(table, name) for name in names]
    return found


def _listed(table: str, name: str) -> Row:
    """A row of a listing without a fault; it comes last, so that most of what the other tables name is known."""
    row = {column: Cell("", cells.MISSING) for column in GOOD_CELLS[table]}
    row[CONTRACT[table].key[0]] = _value(name, name)
    return row | ({"first_seen_at": _moment(2023)} if table == "consumers" else {})


def _drawn(table: str, rows_count: int, this_seed: int) -> list[Row]:
    rows: list[Row] = []
    key = CONTRACT[table].key

    @seed(this_seed)
    @settings(
        max_examples=rows_count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_rows(table), st.sampled_from(["new"] * 7 + ["copy", "correction"]), st.integers(0, 10**6))
    def collect(row: Row, what: str, which: int) -> None:
        if what == "new" or not rows:
            rows.append(row)
            return
        earlier = rows[which % len(rows)]
        rows.append(
            dict(earlier)
            if what == "copy"
            else row | {name: earlier[name] for name in key if name in earlier}
        )

    collect()
    return rows


def as_csv(rows: Sequence[Row]) -> str:
    """The rows as a file; missing cells are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(list(rows[0]))
    writer.writerows([row[name].text for name in rows[0]] for row in rows)
    return text.getvalue()


def files_of(tables: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """name of a file -> its text; every table's last third comes in a file of its own that lands after the others."""
    found = {}
    for table, rows in tables.items():
        cut = len(rows) - len(rows) // 3
        found[table] = as_csv(rows[:cut])
        if rows[cut:]:
            found[f"{table}__late"] = as_csv(rows[cut:])
    return found
