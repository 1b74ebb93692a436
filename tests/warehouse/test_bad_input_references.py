"""Bad rows of every table beside the transactions of consumer-level data, in one home that is landed twice.

Each row is written beside the reason code it must get, and counts are compared as a whole. What is rejected in a
listing (market east, channel fax, consumer rejected) must be unknown to whoever refers to it.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

WEEKS = ("2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29", "2024-02-05")
ODD_MARKET = "Robert'); DROP TABLE markets;--"
ODD_CHANNEL = "{% raw %} 🛒 ../../etc"
NAMES = {"ODD_MARKET": ODD_MARKET, "ODD_CHANNEL": ODD_CHANNEL}

Rows = tuple[tuple[str, str], ...]
#: file -> header, and rows after the reason code they must get
FILES: dict[str, tuple[str, Rows]] = {
    "markets": (
        "market_id,name,population",
        (
            ("accepted", "north,NULL,1000"),
            ("accepted", "south,,2.0"),
            ("accepted", "ODD_MARKET,{{ 7 * 7 }},"),
            ("missing_key", ",Nowhere,1"),
            ("bad_type", "east,East,many"),
            ("not_finite", "east,East,NaN"),
            ("invalid_count", "east,East,-1"),
            ("invalid_count", "east,East,1.5"),
            ("conflicting_duplicate", "west,West,1"),
            ("accepted", "west,West,2"),
            ("exact_duplicate", "west,West,2.0"),
        ),
    ),
    "channels": (
        "channel_id,name,kind,cost_per_exposure",
        (
            ("accepted", "podcast,Podcast,paid,0.02"),
            ("accepted", "push,,,"),
            ("accepted", "radio,Never on air,paid,1"),
            ("accepted", "ODD_CHANNEL,007,,0"),
            ("missing_key", ",Nothing,paid,1"),
            ("bad_type", "fax,Fax,paid,cheap"),
            ("not_finite", "fax,Fax,paid,inf"),
            ("negative_amount", "fax,Fax,paid,-1"),
            ("conflicting_duplicate", "mail,Mail,paid,1"),
            ("accepted", "mail,Mail,owned,1"),
            ("exact_duplicate", "mail,Mail,owned,1.0"),
        ),
    ),
    "consumers": (
        "consumer_id,market_id,first_seen_at,active_until,plan",
        (
            ("accepted", "c1,north,2024-01-01,2024-12-31,basic"),
            ("accepted", "c2,ODD_MARKET,2024-01-01,2024-12-31,NULL"),
            ("accepted", "c3,,2024-01-01,,basic"),
            ("missing_key", ",north,2024-01-01,,basic"),
            ("missing_value", "b1,north,,,basic"),
            ("bad_type", "b2,north,long ago,,basic"),
            ("bad_type", "b3,north,2024-01-01,2024-13-01,basic"),
            ("bad_type", "b4,north,2024-01-01,2024-06-01 13:00:00,basic"),
            ("unknown_market", "rejected,east,2024-01-01,,basic"),
            ("out_of_range_date", "b5,north,1970-01-01,,basic"),
            ("future_date", "b6,north,2999-01-01,,basic"),
            ("conflicting_duplicate", "changes plan,north,2024-01-01,2024-12-31,basic"),
            ("accepted", "changes plan,north,2024-01-01,2024-12-31,plus"),
            ("exact_duplicate", "changes plan,north,2024-01-01,2024-12-31,plus"),
            ("conflicting_duplicate", "corrected later,north,2024-01-01,2024-12-31,basic"),
            ("accepted", "copied later,north,2024-01-01,2024-12-31,basic"),
        ),
    ),
    "consumers__late": (
        "consumer_id,plan,market_id,first_seen_at,active_until",
        (
            ("accepted", "corrected later,family,north,2024-01-01,2024-12-31"),
            ("exact_duplicate", "copied later,basic,north,2024-01-01,2024-12-31"),
            ("accepted", "late,basic,south,2024-01-01,2024-12-31"),
            ("missing_value", "late too,basic,south,,"),
        ),
    ),
    "transactions": (
        "transaction_id,consumer_id,market_id,occurred_at,gmv_amount,currency_code",
        (
            *(("accepted", f"n{week},c1,north,{week} 12:00:00,5,EUR") for week in WEEKS),
            *(("accepted", f"o{week},c2,ODD_MARKET,{week} 12:00:00,7,EUR") for week in WEEKS),
            ("accepted", "last,c1,north,2024-02-11 12:00:00,1,EUR"),
            ("unknown_market", "t1,c1,east,2024-01-10,5,EUR"),
            ("unknown_consumer", "t2,rejected,north,2024-01-10,5,EUR"),
        ),
    ),
    "exposures": (
        "consumer_id,channel_id,occurred_at,exposures_count,campaign_id",
        (
            *(("accepted", f"c1,podcast,{week} 09:00:00,2.0,") for week in WEEKS),
            *(("accepted", f"c2,ODD_CHANNEL,{week} 09:00:00,3,") for week in WEEKS),
            ("missing_key", ",podcast,2024-01-11 09:00:00,1,"),
            ("missing_key", "c1,,2024-01-11 09:01:00,1,"),
            ("missing_key", "c1,podcast,,1,"),
            ("missing_value", "c1,podcast,2024-01-11 09:03:00,,"),
            ("bad_type", "c1,podcast,2024-01-11 09:04:00,one,"),
            ("bad_type", "c1,podcast,Monday,1,"),
            ("not_finite", "c1,podcast,2024-01-11 09:06:00,NaN,"),
            ("invalid_count", "c1,podcast,2024-01-11 09:07:00,0,"),
            ("invalid_count", "c1,podcast,2024-01-11 09:08:00,-2,"),
            ("invalid_count", "c1,fax,2024-01-11 09:09:00,1.5,"),
            ("unknown_consumer", "nobody,podcast,2024-01-11 09:10:00,1,"),
            ("unknown_channel", "c1,fax,2024-01-11 09:11:00,1,"),
            ("out_of_range_date", "c1,podcast,1970-01-01,1,"),
            ("future_date", "c1,podcast,2999-01-01T00:00:00Z,1,"),
            ("accepted", "c1,podcast,2024-01-17 10:00:00,1,"),
            ("exact_duplicate", "c1,podcast,2024-01-17 10:00:00,1,"),
            ("accepted", "c1,podcast,2024-01-17 10:00:00,1,spring"),
            ("accepted", "c1,push,2024-01-17 10:00:00,1,"),
            ("conflicting_duplicate", "c2,podcast,2024-01-17 10:00:00,1,"),
            ("accepted", "c2,podcast,2024-01-17 10:00:00,3,"),
            ("conflicting_duplicate", "c1,podcast,2024-01-18 10:00:00,1,"),
            ("accepted", "c1,podcast,2024-01-18 11:00:00,1,"),
        ),
    ),
    "exposures__late": (
        "consumer_id,channel_id,occurred_at,exposures_count,campaign_id",
        (
            ("accepted", "c1,podcast,2024-01-18 10:00:00,9,"),
            ("exact_duplicate", "c1,podcast,2024-01-18T11:00:00Z,1.0,"),
            ("accepted", "c1,podcast,2024-01-02 08:00:00,1,"),
            ("invalid_count", "c1,podcast,2024-01-02 09:00:00,0,"),
        ),
    ),
    "market_covariates": (
        "market_id,period_start_date,temperature,price; --",
        (
            *(("accepted", f"{market},{week},1.5,2") for market in ("north", "ODD_MARKET") for week in WEEKS),
            ("missing_key", ",2024-03-04,1.5,2"),
            ("missing_key", "north,,1.5,2"),
            ("bad_type", "north,2024-03-18,warm,2"),
            ("bad_type", "north,2024-03-25,nan,1_0"),
            ("bad_type", "north,week 1,1.5,2"),
            ("not_finite", "north,2024-04-08,-inf,2"),
            ("unknown_market", "east,2024-04-15,1.5,2"),
            ("out_of_range_date", "north,1970-01-05,1.5,2"),
            ("future_date", "north,2999-01-07,1.5,2"),
            ("misaligned_period", "north,2024-01-03,1.5,2"),
        ),
    ),
    "marketing_activities": (
        "market_id,channel_id,period_start_date,spend_amount,intensity,currency_code,reach_count,frequency",
        (
            *(("accepted", f"north,podcast,{week},100,1000,EUR,,") for week in WEEKS),
            ("accepted", "north,push,2024-01-01,,1000,,,"),
            ("missing_key", "north,,2024-03-04,100,1000,EUR,,"),
            ("missing_value", "north,podcast,2024-03-11,100,,EUR,,"),
            ("missing_value", "north,podcast,2024-03-18,100,1000,,,"),
            ("bad_type", "north,podcast,2024-03-25,much,1000,EUR,,"),
            ("not_finite", "north,podcast,2024-04-01,100,nan,EUR,,"),
            ("negative_amount", "north,podcast,2024-04-08,-1,1000,EUR,,"),
            ("negative_amount", "north,podcast,2024-04-15,100,-1,EUR,,"),
            ("invalid_count", "north,podcast,2024-04-22,100,1000,EUR,10.5,"),
            ("unknown_market", "east,podcast,2024-04-29,100,1000,EUR,,"),
            ("unknown_channel", "north,fax,2024-05-06,100,1000,EUR,,"),
            ("misaligned_period", "north,podcast,2024-01-07,100,1000,EUR,,"),
            ("wrong_currency", "north,podcast,2024-05-20,100,1000,USD,,"),
        ),
    ),
}


def as_csv(name: str) -> str:
    header, rows = FILES[name]
    text = "\n".join([header, *(row for _, row in rows)]) + "\n"
    for short, long in NAMES.items():
        text = text.replace(short, long)
    return text


@pytest.fixture(scope="module")
def home(dbt_home_factory: Callable[..., Any]) -> Any:
    first = [name for name in FILES if "__" not in name]
    made = dbt_home_factory({name: as_csv(name) for name in first}, period="week", pre_periods_count=2)
    made.land()
    made.write(**{name: as_csv(name) for name in FILES if name not in first})
    made.land()
    made.build()
    return made


def test_every_row_is_counted_once_under_the_first_reason(home: Any) -> None:
    found: dict[str, Counter[str]] = {name: Counter() for name in FILES}
    for file_name, reason, rows_count in home.query(
        "SELECT file_name, reason_code, rows_count FROM reporting.data_quality"
    ):
        found[file_name.removesuffix(".csv")][reason] = rows_count
    assert found == {name: Counter(reason for reason, _ in rows) for name, (_, rows) in FILES.items()}


@pytest.mark.parametrize("table", [name for name in FILES if "__" not in name])
def test_quarantine_holds_every_rejected_row(home: Any, table: str) -> None:
    rejected = [
        reason
        for name, (_, rows) in FILES.items()
        for reason, _ in rows
        if name.partition("__")[0] == table and reason != "accepted"
    ]
    assert rejected
    found = home.query(f"SELECT reason_code FROM quarantine.quarantine_{table} WHERE json_valid(row_json)")
    assert sorted(reason for (reason,) in found) == sorted(rejected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT market_id FROM intermediate.int_markets_accepted", {"north", "south", "west", ODD_MARKET}),
        ("SELECT name FROM intermediate.int_markets_accepted", {"NULL", None, "{{ 7 * 7 }}", "West"}),
        (
            "SELECT DISTINCT market_id FROM marts.market_periods",
            {"north", "south", "_unassigned", ODD_MARKET},
        ),
        (
            "SELECT DISTINCT channel_id FROM marts.market_channel_periods",
            {"podcast", "push", "radio", "mail", ODD_CHANNEL},
        ),
        ("SELECT DISTINCT market_id FROM marts.market_covariate_periods", {"north", ODD_MARKET}),
        ("SELECT DISTINCT covariate_name FROM marts.market_covariate_periods", {"temperature", "price; --"}),
        (
            "SELECT column_name FROM marts.design_columns WHERE column_kind = 'exposure'",
            {"exposure:podcast", "exposure:push", f"exposure:{ODD_CHANNEL}"},
        ),
        (
            "SELECT consumer_id FROM intermediate.int_consumers_accepted",
            {"c1", "c2", "c3", "changes plan", "corrected later", "copied later", "late"},
        ),
    ],
)
def test_what_was_right_arrives_unchanged(home: Any, query: str, expected: set[str | None]) -> None:
    assert {value for (value,) in home.query(query)} == expected


def test_the_odd_market_and_the_odd_channel_keep_their_numbers(home: Any) -> None:
    gmv = home.query(
        f"SELECT sum(gmv_net_amount) FROM marts.market_periods WHERE market_id = {quoted(ODD_MARKET)}"
    )
    assert [int(amount) for (amount,) in gmv] == [7 * len(WEEKS)]
    exposures = home.query(
        "SELECT sum(exposures_count) FROM marts.market_channel_periods "
        f"WHERE market_id = {quoted(ODD_MARKET)} AND channel_id = {quoted(ODD_CHANNEL)}"
    )
    assert exposures == [(3 * len(WEEKS),)]


@pytest.mark.parametrize(
    ("table", "key", "corrected", "copied"),
    [
        ("exposures", "$.occurred_at", "2024-01-18 10:00:00", "2024-01-18T11:00:00Z"),
        ("consumers", "$.consumer_id", "corrected later", "copied later"),
    ],
)
def test_the_losers_load_carries_the_duplicate(
    home: Any, table: str, key: str, corrected: str, copied: str
) -> None:
    rows = home.query(
        f"SELECT row_json ->> '{key}', reason_code, file_name FROM quarantine.quarantine_{table} "
        f"WHERE row_json ->> '{key}' IN ('{corrected}', '{copied}') ORDER BY reason_code"
    )
    assert rows == [
        (corrected, "conflicting_duplicate", f"{table}.csv"),
        (copied, "exact_duplicate", f"{table}__late.csv"),
    ]


def test_the_late_content_holds(home: Any) -> None:
    counts = home.query(
        "SELECT exposures_count FROM intermediate.int_exposures_accepted WHERE occurred_at = '2024-01-18 10:00:00'"
    )
    plans = home.query(
        "SELECT characteristics['plan'] FROM intermediate.int_consumers_accepted "
        "WHERE consumer_id = 'corrected later'"
    )
    assert (counts, plans) == ([(9,)], [("family",)])


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
