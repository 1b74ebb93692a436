"""Bad input of the market tables, in a market-only home without listings: no consumers, no markets, no channels table.

Valid markets and channels are then those of the activities, months are the periods, and EUR is the commonest currency.
"""

from collections.abc import Callable
from typing import Any

import pytest

FILES = {
    "marketing_activities": (
        "market_id,channel_id,period_start_date,spend_amount,intensity,currency_code\n"
        "solo,tv,2024-01-01,100,10,EUR\n"
        "solo,tv,2024-02-01,,20,\n"  # no spend: unknown, not zero
        "solo,radio,2024-01-01,50,5,EUR\n"
        "solo,radio,2024-02-01,50,5,SEK\n"  # wrong_currency
        "solo,radio,2024-02-02,50,5,EUR\n"  # misaligned_period
        "solo,tv,2024-03-01,100,1e400,EUR\n"  # bad_type: too large for a number
    ),
    "market_outcomes": (
        "market_id,period_start_date,gmv_amount,orders\n"
        "solo,2024-01-01,1000,80\n"
        "solo,2024-02-01,1100,81\n"
        "solo,2024-02-01 00:00:00,1100.0,81\n"  # exact_duplicate
        "solo,2024-03-01,-1,80\n"  # negative_amount
        "solo,2024-03-01,NaN,80\n"  # not_finite
        "solo,2024-03-01,1200,many\n"  # bad_type: a KPI is a number
        "solo,2024-03-01,1200,Infinity\n"  # not_finite
        "solo,2024-03-15,1200,80\n"  # misaligned_period
        "elsewhere,2024-01-01,1000,80\n"  # unknown_market
    ),
    "mediators": (
        "market_id,period_start_date,page_views\n"
        "solo,2024-01-01,500\n"
        "solo,2024-02-01,\n"
        "solo,2024-02-01,600\n"  # the last wins: the one before is conflicting_duplicate
        "solo,2024-01-01,nan\n"  # not_finite
    ),
    "lift_tests": (
        "lift_test_id,channel_ids,market_ids,start_date,end_date,spend_delta_amount,exposures_delta_count,"
        "lift_amount,lift_standard_error,kpi\n"
        '1,"[""tv""]","[""solo""]",2024-01-01,2024-01-31,10,,-5,2,gmv\n'
        '2,"[""tv"", ""fax""]","[""solo""]",2024-01-01,2024-01-31,10,,5,2,gmv\n'  # unknown_channel
        '3,"[""tv""]","[""atlantis""]",2024-01-01,2024-01-31,10,,5,2,gmv\n'  # unknown_market
        '4,tv,"[""solo""]",2024-01-01,2024-01-31,10,,5,2,gmv\n'  # bad_type
        '5,"[""tv""]","[""solo""]",2024-01-01,2024-01-31,,,5,2,gmv\n'  # missing_value: neither delta
        '6,"[""tv""]","[""solo""]",2024-01-01,2024-01-31,10,,5,-2,gmv\n'  # negative_amount
        '7,"[""tv""]","[""solo""]",2024-01-01,2999-01-31,10,,5,2,gmv\n'  # future_date
        '8,"[""tv""]","[""solo""]",2024-01-31,2024-01-01,10,,5,2,gmv\n'  # out_of_range_date: ends before it starts
    ),
}


@pytest.fixture(scope="session")
def market_home(dbt_home_factory: Callable[..., Any]) -> Any:
    home = dbt_home_factory(FILES, period="month", pre_periods_count=1)
    home.land()
    home.build("--exclude-resource-type", "unit_test")
    return home


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("marketing_activities", {"accepted": 3, "wrong_currency": 1, "misaligned_period": 1, "bad_type": 1}),
        (
            "market_outcomes",
            {
                "accepted": 2,
                "exact_duplicate": 1,
                "negative_amount": 1,
                "not_finite": 2,
                "bad_type": 1,
                "misaligned_period": 1,
                "unknown_market": 1,
            },
        ),
        ("mediators", {"accepted": 2, "conflicting_duplicate": 1, "not_finite": 1}),
        (
            "lift_tests",
            {
                "accepted": 1,
                "unknown_channel": 1,
                "unknown_market": 1,
                "bad_type": 1,
                "missing_value": 1,
                "negative_amount": 1,
                "future_date": 1,
                "out_of_range_date": 1,
            },
        ),
    ],
)
def test_every_market_row_is_counted_under_the_first_reason(
    market_home: Any, table: str, expected: dict[str, int]
) -> None:
    rows = market_home.query(
        f"SELECT coalesce(reason_code, 'accepted'), count(*) FROM intermediate.int_{table}_classified GROUP BY 1"
    )
    assert dict(rows) == expected


def test_spend_may_be_unknown(market_home: Any) -> None:
    rows = market_home.query(
        "SELECT spend_amount, currency_code, intensity FROM intermediate.int_marketing_activities_accepted "
        "WHERE channel_id = 'tv' AND period_start_date = DATE '2024-02-01'"
    )
    assert rows == [(None, None, 20.0)]


def test_mediators_are_rows(market_home: Any) -> None:
    rows = market_home.query(
        "SELECT period_start_date::VARCHAR, mediator_name, mediator_value "
        "FROM intermediate.int_mediators_accepted ORDER BY 1"
    )
    assert rows == [("2024-01-01", "page_views", 500.0), ("2024-02-01", "page_views", 600.0)]
    mart = market_home.mart("mediator_periods")
    assert mart["mediator_value"].tolist() == [500.0, 600.0]
    assert mart["mediator_name"].unique().tolist() == ["page_views"]


def test_the_run_ends_with_the_last_accepted_outcome(market_home: Any) -> None:
    rows = market_home.query(
        "SELECT currency_code, first_period_start_date::VARCHAR, as_of_date::VARCHAR "
        "FROM intermediate.int_run_parameters"
    )
    assert rows == [("EUR", "2024-01-01", "2024-02-29")]


def test_without_a_consumers_table_consumers_are_those_of_the_events(
    dbt_home_factory: Callable[..., Any],
) -> None:
    home = dbt_home_factory(
        {
            "transactions": (
                "transaction_id,consumer_id,market_id,occurred_at,gmv_amount,currency_code\n"
                "1,ann,north,2024-01-05,10,EUR\n2,ann,north,2024-02-29,20,EUR\n3,bob,south,2024-02-10,30,EUR\n"
            )
        },
        period="month",
        pre_periods_count=1,
    )
    home.land()
    home.build("--exclude-resource-type", "unit_test")
    rows = home.query(
        "SELECT consumer_id, market_id, first_seen_date::VARCHAR FROM intermediate.int_consumers_accepted ORDER BY 1"
    )
    assert rows == [("ann", None, "2024-01-05"), ("bob", None, "2024-02-10")]
