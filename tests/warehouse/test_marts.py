"""Marts of a consumer-level world: nothing lost, panels as the rule says, statistics as NumPy has them."""

import csv
import datetime as dt
import hashlib
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

PROJECT_DIR = Path(__file__).resolve().parents[2] / "dbt_project"
CONSUMERS_COUNT = 40
MONTHS = [f"2024-{month:02d}-01" for month in range(1, 13)]
ODD_IDS = ["007", "NULL", "'; drop table x; --", "{{ ref('x') }}", "🛒 caffè", "../../etc", 'a,b"c']
# inner products of a dozen numbers below 1e4: a few units in the last place
RELATIVE_TOLERANCE = 1e-12


def as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def build_world(markets_count: int = 3) -> dict[str, str]:
    """40 consumers in 12 months and a bit of a thirteenth; radio is listed and never used; one price has a gap."""
    rng = np.random.default_rng(11)
    ids = [*ODD_IDS, *(f"c{number:02d}" for number in range(len(ODD_IDS), CONSUMERS_COUNT))]
    markets = [f"m{number}" for number in range(markets_count)]
    consumers, transactions, exposures = [], [], []
    for number, consumer_id in enumerate(ids):
        joined = f"2024-{1 + number % 5:02d}-{1 if number % 2 else 10:02d}"
        consumers.append(
            {
                "consumer_id": consumer_id,
                "market_id": markets[number % markets_count] if number != 30 else "",
                "first_seen_at": joined,
                "active_until": "2024-09-15" if number % 7 == 0 else "",
                "age": str(20 + number) if number % 4 else "",
                "postcode": f"{number:03d}",
            }
        )
        for month in range(1, 14):
            day = f"{2024 + month // 13}-{(month - 1) % 12 + 1:02d}-{1 + number % 9:02d}"
            if rng.random() < 0.5 and number != 30 and (month < 13 or number < 5):
                amount = f"{rng.gamma(2, 20):.2f}"
                row = {
                    "transaction_id": f"t{number}-{month}",
                    "consumer_id": consumer_id,
                    "market_id": markets[0],
                    "occurred_at": f"{day} 12:00:00",
                    "gmv_amount": amount,
                    "currency_code": "EUR",
                    "is_return": "false",
                }
                transactions.append(row)
                if rng.random() < 0.2:
                    returned = {"transaction_id": f"r{number}-{month}", "gmv_amount": f"-{amount}"}
                    transactions.append(row | returned | {"is_return": "true"})
            for channel in ("tv", "push"):
                if month < 13 and rng.random() < 0.4:
                    exposures.append(
                        {
                            "consumer_id": consumer_id,
                            "channel_id": channel,
                            "occurred_at": f"{day} 08:00:00",
                            "exposures_count": int(rng.integers(1, 6)),
                        }
                    )
    # someone bought on the last day of the year, so that December is complete
    transactions.append(
        transactions[0]
        | {"transaction_id": "last", "occurred_at": "2024-12-31 20:00:00", "is_return": "false"}
        | {"gmv_amount": "1.00"}
    )
    covariates = [
        {
            "market_id": market,
            "period_start_date": month,
            "price": f"{rng.normal(1, 0.1):.3f}",
            "gappy": "" if (market, month) == (markets[-1], MONTHS[7]) else "1.5",
        }
        for market in [*markets, "_unassigned"]
        for month in MONTHS
    ]
    return {
        "transactions": as_csv(transactions),
        "exposures": as_csv(exposures),
        "consumers": as_csv(consumers),
        "market_covariates": as_csv(covariates),
        "channels": as_csv([{"channel_id": name} for name in ("tv", "push", "radio")]),
    }


def file_hashes(home: Path) -> dict[str, str]:
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("marts", "artefacts/reporting")
        for path in sorted((home / folder).rglob("*.parquet"))
        if path.name != "data_quality.parquet"
    }


@pytest.fixture(scope="module")
def world(dbt_home_factory: Callable[..., Any]) -> Any:
    home = dbt_home_factory(build_world(), period="month")
    home.land()
    return home


@pytest.fixture(scope="module", autouse=True)
def output(world: Any) -> str:
    """What dbt printed while it built the world, with its unit tests."""
    return world.build(with_unit_tests=True).stdout


def test_every_dbt_unit_test_ran_and_passed(output: str) -> None:
    import yaml

    declared = {
        f"{test['model']}::{test['name']}"
        for path in (PROJECT_DIR / "models").rglob("*.yml")
        for test in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("unit_tests", [])
    }
    assert len(declared) > 20
    passed = {name for line in output.splitlines() if " PASS " in line for name in declared if name in line}
    assert declared == passed


def test_every_purchase_up_to_as_of_date_is_in_the_mart(world: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(build_world()["transactions"])))
    kept = [row for row in rows if row["occurred_at"] < "2025"]
    assert len(kept) < len(rows)  # January 2025 is incomplete, so as_of_date is the end of December
    amounts = [Decimal(row["gmv_amount"]) for row in kept]
    periods = world.mart("consumer_periods")
    assert periods["gmv_net_amount"].sum() == sum(amounts)
    assert periods["gmv_gross_amount"].sum() == sum(amount for amount in amounts if amount > 0)
    assert periods["transactions_count"].sum() == len(kept)
    assert set(ODD_IDS) <= set(periods["consumer_id"])
    assert periods.groupby("market_id")["consumer_id"].nunique()["_unassigned"] == 1


def test_panel_follows_the_rule_written_independently(world: Any) -> None:
    """The rule of design section 3 as a loop over consumers."""
    tables = {name: list(csv.DictReader(io.StringIO(text))) for name, text in build_world().items()}
    activity: dict[str, str] = {}
    for row in tables["transactions"] + tables["exposures"]:
        if row["occurred_at"] < "2025":
            month = row["occurred_at"][:7] + "-01"
            activity[row["consumer_id"]] = max(activity.get(row["consumer_id"], ""), month)
    expected = set()
    for consumer in tables["consumers"]:
        for position, month in enumerate(MONTHS):
            following = MONTHS[position + 1] if position < 11 else "2025-01-01"
            starts = month >= consumer["first_seen_at"] and position >= 3
            if consumer["active_until"]:
                ends = following <= consumer["active_until"]
            else:
                ends = activity.get(consumer["consumer_id"], "") > month
            if starts and ends:
                expected.add((consumer["consumer_id"], month))
    periods = world.mart("consumer_periods")
    panel = periods[periods["is_in_panel"]]
    found = set(zip(panel["consumer_id"], panel["period_start_date"].astype(str), strict=True))
    assert found == expected
    assert {"partial_first_period", "pre_period", "after_active_until", "no_later_activity"} <= set(
        periods["exclusion_reason"].dropna()
    )


def design_matrix(world: Any) -> tuple[pd.DataFrame, np.ndarray]:
    """Panel rows and their design columns, made from the long marts without a look at the statistics."""
    panel = (
        world.mart("consumer_periods").query("is_in_panel").sort_values(["consumer_id", "period_start_date"])
    )
    counts = world.mart("consumer_channel_periods").set_index(
        ["consumer_id", "channel_id", "period_start_date"]
    )["exposures_count"]
    covariates = world.mart("market_covariate_periods").set_index(
        ["market_id", "covariate_name", "period_start_date"]
    )["covariate_value"]
    columns = [np.ones(len(panel))]
    x = {
        channel: np.array(
            [counts.get((row.consumer_id, channel, row.period_start_date), 0) for row in panel.itertuples()],
            dtype=float,
        )
        for channel in ("push", "tv")
    }
    bends = world.mart("design_columns").query("column_kind == 'exposure_log1p'").set_index("channel_id")
    events = world.mart("consumer_channel_periods")
    events = events[events["consumer_id"].isin(panel["consumer_id"]) & (events["exposures_count"] > 0)]
    for channel, mean in events.groupby("channel_id")["exposures_count"].mean().items():
        assert bends.loc[channel, "exposure_bend"] == 2.0 ** np.round(np.log2(mean))
    columns += [x["push"], x["tv"]]
    columns += [np.log1p(x[channel] / bends.loc[channel, "exposure_bend"]) for channel in ("push", "tv")]
    columns.append(
        np.array([covariates[(row.market_id, "price", row.period_start_date)] for row in panel.itertuples()])
    )
    for start in sorted(panel["period_start_date"].unique())[1:]:
        columns.append((panel["period_start_date"] == start).to_numpy(dtype=float))
    columns.append(panel["gmv_net_amount"].to_numpy(dtype=float))
    return panel, np.column_stack(columns)


def test_statistics_equal_numpy(world: Any) -> None:
    panel, design = design_matrix(world)
    statistics = world.mart("consumer_sufficient_statistics").set_index("consumer_id")
    assert set(statistics.index) == set(panel["consumer_id"])
    triangle = np.triu_indices(design.shape[1])
    for consumer_id, positions in panel.reset_index(drop=True).groupby("consumer_id").groups.items():
        rows = design[positions]
        row = statistics.loc[consumer_id]
        np.testing.assert_allclose(
            row["statistics"], (rows.T @ rows)[triangle], rtol=RELATIVE_TOLERANCE, atol=1e-9
        )
        assert row["rows_count"] == len(rows)


def test_design_names_what_it_leaves_out(world: Any) -> None:
    columns = world.mart("design_columns")
    listed = columns[columns["column_index"].notna()]
    assert listed["column_index"].tolist() == list(range(len(listed)))
    assert listed["column_kind"].tolist()[:6] == [
        "intercept",
        *["exposure"] * 2,
        *["exposure_log1p"] * 2,
        "covariate",
    ]
    assert listed["column_kind"].iloc[-1] == "outcome"
    left_out = columns[columns["column_index"].isna()].set_index("column_kind")
    assert left_out.loc["exposure_none", "channel_id"] == "radio"
    assert left_out.loc["covariate_incomplete", "covariate_name"] == "gappy"


def test_a_listed_channel_that_nobody_saw_is_zero_in_every_market_and_month(world: Any) -> None:
    radio = world.mart("market_channel_periods").query("channel_id == 'radio'")
    expected = {
        (market, dt.date.fromisoformat(month))
        for market in ("m0", "m1", "m2", "_unassigned")
        for month in MONTHS
    }
    assert set(zip(radio["market_id"], radio["period_start_date"], strict=True)) == expected
    assert len(radio) == len(expected)
    assert set(radio["exposures_count"]) == {0}
    assert set(radio["intensity_source"]) == {"exposures"}


def test_characteristics_keep_labels_and_mark_what_is_missing(world: Any) -> None:
    long = world.mart("consumer_characteristics")
    kinds = long.drop_duplicates("characteristic_name").set_index("characteristic_name")[
        "characteristic_kind"
    ]
    assert kinds["age"] == "numeric"
    assert kinds["postcode"] == "categorical"  # 003 would lose its zeros
    assert set(long.query("characteristic_name == 'postcode'")["value_text"]) >= {"000", "039"}
    assert long.query("characteristic_name == 'age'")["is_missing"].sum() == CONSUMERS_COUNT / 4
    strata = long.query("characteristic_name == 'pre_period_spend_stratum'")["value_text"].value_counts()
    spenders = strata.drop("none")
    assert set(spenders.index) == {"low", "middle", "high"}
    assert spenders.max() - spenders.min() <= 1


def test_same_rows_give_the_same_files_with_one_thread_and_two(world: Any) -> None:
    before = file_hashes(world.settings.home)
    assert len(before) > 10
    world.build("--exclude-resource-type=test", threads=1)
    assert file_hashes(world.settings.home) == before


def test_as_of_date_inside_a_month_hides_the_future_in_one_market(
    dbt_home_factory: Callable[..., Any],
) -> None:
    """Stated outcomes of the market win over its transactions, and the disagreement is a warning."""
    stated = [{"market_id": "m0", "period_start_date": month, "gmv_amount": "10000.00"} for month in MONTHS]
    tables = build_world(markets_count=1) | {"market_outcomes": as_csv(stated)}
    home = dbt_home_factory(tables, period="month", as_of_date=dt.date(2024, 8, 15))
    home.land()
    output = home.build().stdout
    assert "WARN 7 assert_market_outcomes_agree_with_transactions" in output, output[
        -2000:
    ]  # January to July
    kinds = home.mart("market_periods").groupby("market_id")["source_kind"].unique()
    assert {market: list(kind) for market, kind in kinds.items()} == {
        "m0": ["market_outcomes"],
        "_unassigned": ["transactions"],
    }
    periods = home.mart("consumer_periods")
    assert home.mart_path("consumer_periods").parent.name == "as_of_date=2024-08-15"
    rows = csv.DictReader(io.StringIO(build_world()["transactions"]))
    expected = sum(Decimal(row["gmv_amount"]) for row in rows if row["occurred_at"] < "2024-08-16")
    assert periods["gmv_net_amount"].sum() == expected
    assert periods["period_start_date"].max() == dt.date(2024, 8, 1)
    august = periods[periods["period_start_date"] == dt.date(2024, 8, 1)]
    assert not august["is_in_panel"].any()
    assert set(august["exclusion_reason"]) == {"incomplete_period"}
    assert home.mart("market_periods")["period_start_date"].max() == dt.date(
        2024, 7, 1
    )  # August had not ended
    assert home.mart("market_covariate_periods")["period_start_date"].max() == dt.date(2024, 7, 1)
    assert set(periods["market_id"]) == {"m0", "_unassigned"}
    assert home.mart("consumer_sufficient_statistics")["rows_count"].max() == 4  # April to July


def test_current_refresh_names_the_refresh(world: Any) -> None:
    path = world.settings.marts_dir / "current_refresh.parquet"
    (row,) = pd.read_parquet(path).to_dict("records")
    assert str(row["as_of_date"]) == "2024-12-31"
    assert (row["period"], row["currency_code"], row["source_name"]) == ("month", "EUR", "canonical")
    assert str(row["pre_period_end_date"]) == "2024-04-01"
    assert not list(world.settings.marts_dir.rglob("tmp_*"))
