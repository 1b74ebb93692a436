"""A folder without consumers: market marts are full, consumer marts are empty and typed, nothing falls over."""

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

OUTCOMES = "market_id,period_start_date,gmv_amount,orders\n" + "".join(
    f"{market},2024-{month:02d}-01,{100 * month},{month}\n"
    for market in ("m1", "m2")
    for month in range(1, 7)
)
ACTIVITIES = "market_id,channel_id,period_start_date,spend_amount,intensity,currency_code\n" + "".join(
    f"{market},{channel},2024-{month:02d}-01,{spend},{10 * month},EUR\n"
    for market in ("m1", "m2")
    for channel, spend in (("tv", 5), ("mail", ""))
    for month in range(1, 7)
)
LIFT_TESTS = (
    "lift_test_id,channel_ids,market_ids,start_date,end_date,spend_delta_amount,exposures_delta_count,lift_amount,"
    "lift_standard_error,kpi\n"
    """ended,"[""tv""]","[""m1""]",2024-02-01,2024-03-31,5,,12.5,2.5,gmv\n"""
    """still running,"[""tv"", ""mail""]","[""m2""]",2024-06-01,2024-07-10,5,,1,1,gmv\n"""
    """elsewhere,"[""tv""]","[""m3""]",2024-02-01,2024-03-31,5,,12.5,2.5,gmv\n"""
)
MARKETS = "market_id,name,population\nm1,One,1000\nm2,Two,\n"
CONSUMER_MARTS = {
    "consumer_periods": {
        "consumer_id": "string",
        "gmv_net_amount": "decimal128(18, 4)",
        "is_in_panel": "bool",
    },
    "consumer_channel_periods": {"exposures_count": "int64", "period_start_date": "date32[day]"},
    "consumer_characteristics": {"value_numeric": "double", "is_missing": "bool"},
    "consumer_sufficient_statistics": {"rows_count": "int32", "statistics": "list<element: double>"},
}


@pytest.fixture(scope="module")
def market_home(dbt_home_factory: Callable[..., Any]) -> Any:
    given = {"market_outcomes": OUTCOMES, "marketing_activities": ACTIVITIES}
    home = dbt_home_factory(given | {"lift_tests": LIFT_TESTS, "markets": MARKETS}, period="month")
    home.land()
    home.build()
    return home


@pytest.mark.parametrize("name", CONSUMER_MARTS)
def test_consumer_marts_are_empty_and_typed(market_home: Any, name: str) -> None:
    schema = pq.read_schema(market_home.mart_path(name))
    assert len(market_home.mart(name)) == 0
    assert {column: str(schema.field(column).type) for column in CONSUMER_MARTS[name]} == CONSUMER_MARTS[name]


def test_market_marts_hold_what_was_given(market_home: Any) -> None:
    periods = market_home.mart("market_periods")
    assert len(periods) == 12
    assert set(periods["source_kind"]) == {"market_outcomes"}
    assert periods["gmv_net_amount"].sum() == 2 * 100 * 21
    assert periods["gmv_gross_amount"].isna().all()  # market_outcomes do not say what was returned
    channels = market_home.mart("market_channel_periods")
    assert len(channels) == 24
    assert channels.query("channel_id == 'mail'")["spend_amount"].isna().all()  # unknown is not zero
    assert channels["exposures_count"].isna().all()
    columns = market_home.mart("design_columns")
    assert set(columns.loc[columns["column_index"].isna(), "channel_id"]) == {"mail", "tv"}
    refresh = pq.ParquetFile(market_home.settings.marts_dir / "current_refresh.parquet").read().to_pylist()
    assert str(refresh[0]["as_of_date"]) == "2024-06-30"


def test_experiments_count_once_they_have_ended_and_markets_keep_what_is_unknown(market_home: Any) -> None:
    tests = market_home.mart("lift_tests").to_dict("records")
    assert [row["lift_test_id"] for row in tests] == [
        "ended"
    ]  # one runs beyond as_of_date, one names no market
    assert (tests[0]["channel_ids"], tests[0]["market_ids"]) == ('["tv"]', '["m1"]')
    assert (float(tests[0]["lift_amount"]), float(tests[0]["lift_standard_error"])) == (12.5, 2.5)
    markets = market_home.mart("markets").set_index("market_id")["population"]
    assert markets["m1"] == 1000 and markets.isna()["m2"]
