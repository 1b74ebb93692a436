"""Every kind of bad transaction of the contract (design §2), in one home that is landed twice and built once.

Each bad row is written beside the reason code it must get; counts are compared as a whole, so that a row that lands
under another code, or a good row that is lost, fails the test. The other tables: test_bad_input_references.py.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

Row = dict[str, str]

ODD_IDS = (
    "Robert'); DROP TABLE consumers;--",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "NULL",
    "007",
    "7",
    "🛒 Ünïcode",
    "../../etc/passwd",
    'quo"ted',
    "two\nlines",
    " spaced ",
    "x" * 2000,
)
CONSUMERS = ("c1", "c2", *ODD_IDS)
WEEKS = tuple(f"2024-{month_day}" for month_day in ("01-01", "01-08", "01-15", "01-22", "01-29", "02-05"))

TRANSACTION = {
    "transaction_id": "",
    "consumer_id": "c1",
    "market_id": "north",
    "occurred_at": "2024-01-10 12:00:00",
    "gmv_amount": "10.50",
    "currency_code": "EUR",
    "is_return": "",
    "units_count": "",
    "discount_amount": "",
}
EXPOSURE = {
    "consumer_id": "c1",
    "channel_id": "podcast",
    "occurred_at": "2024-01-10 09:00:00",
    "exposures_count": "1",
    "campaign_id": "",
}
CONSUMER = {
    "consumer_id": "",
    "market_id": "north",
    "first_seen_at": "2024-01-01",
    "active_until": "2024-12-31",
    "plan": "basic",
}

# Per reason code: what is changed in a row that is otherwise good. Several changes in one row: the first code counts.
BAD_TRANSACTIONS: tuple[tuple[str, Row], ...] = (
    ("missing_key", {"transaction_id": ""}),
    ("missing_key", {"transaction_id": "", "gmv_amount": "NaN", "consumer_id": "nobody"}),
    ("missing_value", {"consumer_id": ""}),
    ("missing_value", {"market_id": ""}),
    ("missing_value", {"occurred_at": ""}),
    ("missing_value", {"gmv_amount": ""}),
    ("missing_value", {"currency_code": "", "gmv_amount": "twelve"}),
    ("bad_type", {"gmv_amount": "twelve"}),
    ("bad_type", {"gmv_amount": "1_000"}),
    ("bad_type", {"gmv_amount": "12,50"}),
    ("bad_type", {"gmv_amount": "1e20"}),
    ("bad_type", {"gmv_amount": "1e400"}),
    ("bad_type", {"occurred_at": "yesterday"}),
    ("bad_type", {"occurred_at": "31/12/2023"}),
    ("bad_type", {"occurred_at": "2024-02-30"}),
    ("bad_type", {"occurred_at": "infinity"}),
    ("bad_type", {"is_return": "perhaps"}),
    ("bad_type", {"units_count": "two"}),
    ("bad_type", {"units_count": "1e30"}),
    ("bad_type", {"discount_amount": "-", "gmv_amount": "inf"}),
    ("not_finite", {"gmv_amount": "NaN"}),
    ("not_finite", {"gmv_amount": "inf"}),
    ("not_finite", {"gmv_amount": "-Infinity"}),
    ("not_finite", {"units_count": "nan"}),
    ("not_finite", {"discount_amount": "Inf", "currency_code": "USD"}),
    ("negative_amount", {"gmv_amount": "-0.01"}),
    ("negative_amount", {"gmv_amount": "-5", "is_return": "false"}),
    ("negative_amount", {"discount_amount": "-1", "units_count": "0.5"}),
    ("sign_conflict", {"gmv_amount": "5", "is_return": "true"}),
    ("invalid_count", {"units_count": "1.5"}),
    ("invalid_count", {"units_count": "-1"}),
    ("unknown_consumer", {"consumer_id": "nobody"}),
    ("unknown_consumer", {"consumer_id": "null", "market_id": "atlantis"}),
    ("unknown_consumer", {"consumer_id": "rejected"}),
    ("unknown_market", {"market_id": "atlantis", "occurred_at": "1970-01-01"}),
    ("unknown_market", {"market_id": "North"}),
    ("out_of_range_date", {"occurred_at": "1970-01-01T00:00:00Z"}),
    ("out_of_range_date", {"occurred_at": "1999-12-31 23:59:59", "currency_code": "USD"}),
    ("future_date", {"occurred_at": "2999-01-01"}),
    ("wrong_currency", {"currency_code": "USD"}),
    ("wrong_currency", {"currency_code": "eur"}),
)
# Odd but right: these must be accepted, as the value on the right.
GOOD_TRANSACTIONS: tuple[tuple[Row, Row], ...] = (
    ({"gmv_amount": "0"}, {"gmv_amount": "0.0000"}),
    ({"gmv_amount": "1e2"}, {"gmv_amount": "100.0000"}),
    ({"gmv_amount": "12.34567"}, {"gmv_amount": "12.3457"}),
    ({"gmv_amount": "-3", "is_return": "true"}, {"gmv_amount": "-3.0000", "is_return": "true"}),
    (
        {"gmv_amount": "0", "is_return": "1", "units_count": "-1"},
        {"gmv_amount": "0.0000", "units_count": "-1"},
    ),
    ({"units_count": "2.0"}, {"units_count": "2"}),
    ({"occurred_at": "2024-01-10T01:30:00+02:00"}, {"occurred_at": "2024-01-09 23:30:00"}),
    ({"occurred_at": "2024-01-10T01:30:00Z"}, {"occurred_at": "2024-01-10 01:30:00"}),
    ({"occurred_at": "2024-01-10"}, {"occurred_at": "2024-01-10 00:00:00"}),
)


@dataclass
class Table:
    """Rows of one file, and what must become of them."""

    rows: list[Row] = field(default_factory=list)
    expected: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, row: Row) -> None:
        self.rows.append(row)
        self.expected[reason] += 1

    def csv(self) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()


def transaction(name: str, changes: Row) -> Row:
    return TRANSACTION | {"transaction_id": name} | changes


def bad_rows(
    good: Row, bad: Iterable[tuple[str, Row]], make_key: Callable[[int], Row]
) -> list[tuple[str, Row]]:
    return [(reason, good | make_key(number) | changes) for number, (reason, changes) in enumerate(bad)]


def transactions() -> Table:
    table = Table()
    for consumer_number, consumer_id in enumerate(CONSUMERS[1:]):  # c1 buys below; nobody else is left out
        for week in WEEKS:
            name = f"{consumer_id}/{week}"
            row = {
                "consumer_id": consumer_id,
                "occurred_at": f"{week} 12:00:00",
                "gmv_amount": f"{consumer_number}.25",
            }
            table.add("accepted", transaction(name, row))
    table.add("accepted", transaction("last", {"occurred_at": "2024-02-11 23:59:59"}))
    for number, (changes, _) in enumerate(GOOD_TRANSACTIONS):
        table.add("accepted", transaction(f"good{number}", changes))
    for reason, row in bad_rows(
        TRANSACTION, BAD_TRANSACTIONS, lambda number: {"transaction_id": f"bad{number}"}
    ):
        table.add(reason, row)
    # Same key, same content (also written in another way): the first stays.
    table.add("accepted", transaction("copied", {}))
    table.add("exact_duplicate", transaction("copied", {"gmv_amount": "10.5000"}))
    table.add("exact_duplicate", transaction("copied", {"occurred_at": "2024-01-10T12:00:00Z"}))
    # Same key, other content: the last one wins.
    table.add("conflicting_duplicate", transaction("corrected", {"gmv_amount": "1"}))
    table.add("conflicting_duplicate", transaction("corrected", {"gmv_amount": "2"}))
    table.add("accepted", transaction("corrected", {"gmv_amount": "3"}))
    # The last content had been there before: its first row stays.
    table.add("accepted", transaction("restored", {"gmv_amount": "4"}))
    table.add("conflicting_duplicate", transaction("restored", {"gmv_amount": "5"}))
    table.add("exact_duplicate", transaction("restored", {"gmv_amount": "4"}))
    # A bad row with the key of a good one takes no part: nothing cascades.
    table.add("accepted", transaction("shared", {}))
    table.add("unknown_consumer", transaction("shared", {"consumer_id": "nobody"}))
    # The late file below corrects, copies and restores these.
    table.add("conflicting_duplicate", transaction("corrected later", {"gmv_amount": "6"}))
    table.add("accepted", transaction("copied later", {"gmv_amount": "7"}))
    return table


def late_transactions() -> Table:
    table = Table()
    table.add("accepted", transaction("corrected later", {"gmv_amount": "60"}))
    table.add("exact_duplicate", transaction("copied later", {"gmv_amount": "7"}))
    table.add("accepted", transaction("late", {"occurred_at": "2024-01-02 08:00:00", "gmv_amount": "99"}))
    table.add("bad_type", transaction("late bad", {"gmv_amount": "ninety"}))
    return table


def exposures() -> Table:
    table = Table()
    for consumer_id in CONSUMERS:
        for week in WEEKS[::2]:
            table.add(
                "accepted",
                EXPOSURE
                | {"consumer_id": consumer_id, "occurred_at": f"{week} 09:00:00", "exposures_count": "2.0"},
            )
    return table


def consumers() -> Table:
    table = Table()
    for consumer_id in CONSUMERS:
        table.add("accepted", CONSUMER | {"consumer_id": consumer_id, "plan": f"plan of {consumer_id}"})
    table.add("accepted", CONSUMER | {"consumer_id": "never buys", "market_id": "", "active_until": ""})
    table.add("unknown_market", CONSUMER | {"consumer_id": "rejected", "market_id": "atlantis"})
    return table


def listing(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table()
    for row in rows:
        table.add("accepted", dict(zip(columns, row, strict=True)))
    return table


@dataclass(frozen=True)
class SpoiltHome:
    """The built home, and the rows that went in."""

    home: Any
    tables: dict[str, Table]
    reports: tuple[Any, ...]


@pytest.fixture(scope="session")
def spoilt(dbt_home_factory: Callable[..., Any]) -> SpoiltHome:
    tables = {
        "transactions": transactions(),
        "exposures": exposures(),
        "consumers": consumers(),
        "markets": listing(
            ("market_id", "name", "population"), [("north", "NULL", "1000"), ("south", "", "")]
        ),
        "channels": listing(
            ("channel_id", "name"), [("podcast", "Podcast"), ("push", "Push"), ("radio", "Never on air")]
        ),
    }
    texts = {name: table.csv() for name, table in tables.items()}
    home = dbt_home_factory(texts, period="week", pre_periods_count=2)
    first = home.land()
    late = late_transactions()
    home.write(
        transactions__late=late.csv(),
        exposures__copy=texts["exposures"],
        exposures__empty=texts["exposures"].partition("\n")[0] + "\n",
    )
    second = home.land()
    home.build()
    return SpoiltHome(home, tables | {"transactions__late": late}, (first, second))


def test_every_row_is_counted_once_under_the_first_reason(spoilt: SpoiltHome) -> None:
    found: dict[str, Counter[str]] = {}
    for file_name, reason, rows_count in spoilt.home.query(
        "SELECT file_name, reason_code, rows_count FROM reporting.data_quality WHERE rows_count > 0"
    ):
        found.setdefault(file_name.removesuffix(".csv"), Counter())[reason] = rows_count
    assert found == {name: table.expected for name, table in spoilt.tables.items()}


def test_quarantine_holds_the_rows_as_they_came(spoilt: SpoiltHome) -> None:
    ((rows_count, codes_count),) = spoilt.home.query(
        "SELECT count(*), count(reason_code) FROM quarantine.quarantine_transactions WHERE json_valid(row_json)"
    )
    assert (rows_count, codes_count) == (51, 51)


def test_good_transactions_are_untouched(spoilt: SpoiltHome) -> None:
    found = {
        name: (consumer, str(amount), str(at), returned, units)
        for name, consumer, amount, at, returned, units in spoilt.home.query(
            "SELECT transaction_id, consumer_id, gmv_amount, occurred_at, is_return, units_count "
            "FROM intermediate.int_transactions_accepted"
        )
    }
    for number, consumer_id in enumerate(CONSUMERS[1:]):
        for week in WEEKS:
            expected = (consumer_id, f"{number}.2500", f"{week} 12:00:00", False, None)
            assert found.pop(f"{consumer_id}/{week}") == expected
    for number, (_, values) in enumerate(GOOD_TRANSACTIONS):
        expected = {"gmv_amount": "10.5000", "occurred_at": "2024-01-10 12:00:00"} | values
        _, amount, at, returned, units = found.pop(f"good{number}")
        assert (amount, at) == (expected["gmv_amount"], expected["occurred_at"])
        assert returned is (float(amount) < 0 or expected.get("units_count") == "-1")
        assert units == (int(expected["units_count"]) if "units_count" in expected else None)
    amounts = {name: amount for name, (_, amount, *_) in found.items()}
    assert amounts == {
        "last": "10.5000",
        "copied": "10.5000",
        "corrected": "3.0000",
        "restored": "4.0000",
        "shared": "10.5000",
        "corrected later": "60.0000",
        "copied later": "7.0000",
        "late": "99.0000",
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT DISTINCT consumer_id FROM intermediate.int_exposures_accepted", set(CONSUMERS)),
        (
            "SELECT consumer_id FROM intermediate.int_consumers_accepted",
            {*CONSUMERS, "never buys"},
        ),
        (
            "SELECT characteristics['plan'] FROM intermediate.int_consumers_accepted",
            {*(f"plan of {name}" for name in CONSUMERS), "basic"},
        ),
        (
            "SELECT DISTINCT consumer_id FROM marts.consumer_periods",
            {*CONSUMERS, "never buys"},
        ),
    ],
)
def test_odd_identifiers_survive(spoilt: SpoiltHome, query: str, expected: set[str | None]) -> None:
    assert {value for (value,) in spoilt.home.query(query)} == expected


def test_rejected_text_survives_in_quarantine(spoilt: SpoiltHome) -> None:
    rows = spoilt.home.query(
        "SELECT row_json ->> '$.gmv_amount', file_name, row_number FROM quarantine.quarantine_transactions "
        "WHERE row_json ->> '$.transaction_id' = 'late bad'"
    )
    assert rows == [("ninety", "transactions__late.csv", 4)]


def test_the_losers_load_carries_the_duplicate(spoilt: SpoiltHome) -> None:
    rows = spoilt.home.query(
        "SELECT row_json ->> '$.transaction_id', reason_code, file_name FROM quarantine.quarantine_transactions "
        "WHERE row_json ->> '$.transaction_id' LIKE '% later' ORDER BY 1"
    )
    assert rows == [
        ("copied later", "exact_duplicate", "transactions__late.csv"),
        ("corrected later", "conflicting_duplicate", "transactions.csv"),
    ]


def test_a_late_file_for_an_old_period_is_accepted(spoilt: SpoiltHome) -> None:
    rows = spoilt.home.query(
        "SELECT period_start_date::VARCHAR, file_name FROM intermediate.int_transactions_accepted "
        "WHERE transaction_id = 'late'"
    )
    assert rows == [("2024-01-01", "transactions__late.csv")]


def test_the_same_content_is_landed_once_under_any_name(spoilt: SpoiltHome) -> None:
    first, second = spoilt.reports
    assert [load.file_name for load in second.loads_new] == ["transactions__late.csv", "exposures__empty.csv"]
    known = {item.file_name for item in second.loads_known}
    assert known == {load.file_name for load in first.loads_new} | {"exposures__copy.csv"}


def test_an_empty_file_is_listed_with_no_rows(spoilt: SpoiltHome) -> None:
    rows = spoilt.home.query(
        "SELECT reason_code, rows_count FROM reporting.data_quality WHERE file_name = 'exposures__empty.csv'"
    )
    assert rows == [("accepted", 0)]


def test_run_parameters_come_from_accepted_rows_only(spoilt: SpoiltHome) -> None:
    rows = spoilt.home.query(
        "SELECT currency_code, first_period_start_date::VARCHAR, last_period_start_date::VARCHAR, "
        "as_of_date::VARCHAR, pre_period_end_date::VARCHAR FROM intermediate.int_run_parameters"
    )
    assert rows == [("EUR", "2024-01-01", "2024-02-05", "2024-02-11", "2024-01-15")]
