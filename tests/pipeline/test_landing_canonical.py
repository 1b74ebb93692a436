"""Folders in the contract's shape: what lands, under which name, how often."""

import datetime as dt
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from assets.landing.contract import CONTRACT, LOAD_COLUMNS, MANIFEST_COLUMNS
from assets.landing.land import LandingReport, land
from assets.landing.manifest import SOURCE_NAMES, prepare_landing, read_manifest, tables_of
from orchestration.resources.settings import Settings, resolve_period


def settings_for(folder: Path, home: Path) -> Settings:
    return Settings(home=home, source=str(folder))


def landed(settings: Settings, table: str, columns: str = "*") -> list[tuple]:
    """Rows of a table as staging sees them: all files of the glob whose load is in the manifest."""
    folder = settings.landing_dir / settings.source_name
    return duckdb.sql(
        f"SELECT {columns} FROM read_parquet('{folder}/{table}/*.parquet', union_by_name = true) AS landed "
        f"SEMI JOIN read_parquet('{folder}/manifest.parquet') USING (load_id) ORDER BY load_sequence, row_number"
    ).fetchall()


def new_names(report: LandingReport) -> list[str]:
    return [load.file_name for load in report.loads_new]


def test_prepare_landing_gives_every_source_typed_empty_files(tmp_path):
    settings = Settings(home=tmp_path)
    prepare_landing(settings)
    for source_name in SOURCE_NAMES:
        folder = settings.landing_dir / source_name
        manifest = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{folder}/manifest.parquet')").fetchall()
        assert {row[0]: row[1] for row in manifest} == MANIFEST_COLUMNS
        for table in tables_of(source_name):
            rows = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{folder}/{table}/*.parquet')").fetchall()
            types = {row[0]: row[1] for row in rows}
            assert list(types)[-len(LOAD_COLUMNS) :] == list(LOAD_COLUMNS)
            if source_name != "complete_journey":
                assert types == CONTRACT[table].landed_columns()
    before = {path: path.stat().st_mtime_ns for path in settings.landing_dir.rglob("*.parquet")}
    prepare_landing(settings)
    assert {path: path.stat().st_mtime_ns for path in settings.landing_dir.rglob("*.parquet")} == before


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_row_lands_with_its_place_and_its_extras(suffix, canonical_tables, make_folder, tmp_path):
    settings = settings_for(make_folder(canonical_tables, suffix=suffix), tmp_path / "home")
    report = land(settings)
    for name, frame in canonical_tables.items():
        assert report.rows_per_table[name] == len(frame) == len(landed(settings, name))
    consumers = landed(
        settings, "consumers", "consumer_id, extra_columns, row_number, file_name, load_sequence"
    )
    assert consumers[1][0] == "c01"
    assert consumers[1][1]["plan"] == canonical_tables["consumers"]["plan"][1]
    assert consumers[0][1]["tenure"] is None
    assert [row[2] for row in consumers] == list(range(1, 61))
    assert {row[3] for row in consumers} == {f"consumers{suffix}"}
    sequences = [load.load_sequence for load in report.loads_new]
    assert sequences == list(range(1, len(canonical_tables) + 1))
    assert set(landed(settings, "exposures", "exposure_id")) == {(None,)}  # an absent optional column is NULL


def test_landing_twice_and_under_another_name_changes_nothing(canonical_folder, tmp_path):
    settings = settings_for(canonical_folder, tmp_path / "home")
    first = land(settings)
    before = {path: path.stat().st_mtime_ns for path in settings.landing_dir.rglob("*.parquet")}
    (canonical_folder / "transactions.csv").rename(canonical_folder / "transactions__again.csv")
    second = land(settings)
    assert second.loads_new == ()
    assert {known.file_name: known.landed_file_name for known in second.loads_known}[
        "transactions__again.csv"
    ] == "transactions.csv"
    assert second.rows_per_table == first.rows_per_table
    assert {path: path.stat().st_mtime_ns for path in settings.landing_dir.rglob("*.parquet")} == before
    assert any("same content as transactions.csv" in line for line in second.lines())


def test_same_content_twice_in_one_call_lands_once(canonical_folder, tmp_path):
    content = (canonical_folder / "transactions.csv").read_bytes()
    (canonical_folder / "transactions__copy.csv").write_bytes(content)
    report = land(settings_for(canonical_folder, tmp_path / "home"))
    assert [known.file_name for known in report.loads_known] == ["transactions__copy.csv"]


def test_parts_land_in_name_order_after_the_plain_file_and_before_the_folder(
    canonical_tables, make_folder, tmp_path
):
    frame = canonical_tables.pop("transactions")
    folder = make_folder(canonical_tables)
    (folder / "transactions").mkdir()
    names = ["transactions.csv", "transactions__2.csv", "transactions__b.csv", "transactions/a.csv"]
    for position, name in reversed(list(enumerate(names))):
        frame.iloc[position * 10 : position * 10 + 10].to_csv(folder / name, index=False)
    report = land(settings_for(folder, tmp_path / "home"))
    assert [name for name in new_names(report) if name.startswith("transactions")] == names
    assert report.rows_per_table["transactions"] == 40


def test_late_file_arrives_through_the_inbox_as_a_later_load(canonical_folder, canonical_tables, tmp_path):
    settings = settings_for(canonical_folder, tmp_path / "home")
    land(settings)
    late = canonical_tables["transactions"].head(5).assign(transaction_id=[f"late{n}" for n in range(5)])
    late.to_csv(settings.inbox_dir / "transactions__late.csv", index=False)
    report = land(settings)
    assert new_names(report) == ["inbox/transactions__late.csv"]
    assert report.loads_new[0].load_sequence == 7
    assert landed(settings, "transactions", "transaction_id")[-5:] == [(f"late{n}",) for n in range(5)]


def test_unknown_names_are_listed_and_the_settings_file_is_not(canonical_folder, tmp_path):
    (canonical_folder / "mediamix.toml").write_text("")
    (canonical_folder / "notes.txt").write_text("x")
    (canonical_folder / "Exposures.csv").write_text("x")
    (canonical_folder / "old").mkdir()
    report = land(settings_for(canonical_folder, tmp_path / "home"))
    assert {item.file_name: item.reason for item in report.ignored} == {
        "notes.txt": "neither .csv nor .parquet",
        "Exposures.csv": "'Exposures' is no table of the contract; did you mean exposures?",
        "old/": "'old' is no table of the contract",
    }
    assert any("ignored notes.txt" in line for line in report.lines())


def test_strict_tables_keep_and_list_columns_outside_the_contract(canonical_tables, make_folder, tmp_path):
    canonical_tables["transactions"] = canonical_tables["transactions"].assign(till="7")
    settings = settings_for(make_folder(canonical_tables), tmp_path / "home")
    report = land(settings)
    load = next(load for load in report.loads_new if load.table_name == "transactions")
    assert load.extra_column_names == ("till",)
    assert landed(settings, "transactions", "extra_columns")[0] == ({"till": "7"},)
    assert any("columns outside the contract: till (not used)" in line for line in report.lines())


def test_market_only_folder_lands_and_says_what_will_be_missing(market_only_folder, tmp_path):
    settings = settings_for(market_only_folder, tmp_path / "home")
    report = land(settings)
    assert report.rows_per_table["market_outcomes"] == 90
    assert report.rows_per_table["marketing_activities"] == 180
    assert any("market-only" in note for note in report.notes)
    assert landed(settings, "market_outcomes", "extra_columns")[0][0].keys() == {"orders"}


def test_header_only_lands_zero_rows(canonical_folder, tmp_path):
    (canonical_folder / "exposures.csv").write_text("consumer_id,channel_id,occurred_at,exposures_count\n")
    report = land(settings_for(canonical_folder, tmp_path / "home"))
    assert report.rows_per_table["exposures"] == 0
    assert any(load.table_name == "exposures" and load.rows_count == 0 for load in report.loads_new)
    assert "exposures landed with 0 rows" in report.notes


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbfmarket_id,name\nm1,\xc3\x89vora\n", id="byte-order mark"),
        pytest.param(b"market_id,name\r\nm1,\xc3\x89vora\r\n", id="CRLF"),
        pytest.param(b"market_id,name\nm1,\xc3\x89vora", id="no last line end"),
        pytest.param(b"market_id,name\nm1,\xc3\x89vora\n\n", id="blank last line"),
        pytest.param(b'"market_id","name"\n"m1","\xc3\x89vora"\n', id="all quoted"),
    ],
)
def test_dialects_of_csv_give_the_same_row(content, canonical_folder, tmp_path):
    (canonical_folder / "markets.csv").write_bytes(content)
    settings = settings_for(canonical_folder, tmp_path / "home")
    land(settings)
    assert landed(settings, "markets", "market_id, name, population") == [("m1", "Évora", None)]


def test_quoted_line_breaks_and_text_that_looks_empty_survive(canonical_folder, tmp_path):
    (canonical_folder / "markets.csv").write_bytes(
        b'market_id,name\n"a\r\nb\nc",NULL\n" 007 ","x""y"\nNaN,""\n'
    )
    settings = settings_for(canonical_folder, tmp_path / "home")
    land(settings)
    assert landed(settings, "markets", "market_id, name, row_number") == [
        ("a\r\nb\nc", "NULL", 1),
        (" 007 ", 'x"y', 2),
        ("NaN", None, 3),
    ]


@pytest.mark.parametrize("name", ["transactions__it's; drop table x; --.csv", "transactions__[a]*?.csv"])
def test_hostile_file_names_are_only_names(name, canonical_tables, make_folder, tmp_path):
    frame = canonical_tables["transactions"]
    canonical_tables["transactions"] = frame.iloc[10:]
    folder = make_folder(canonical_tables, name="so[ur]ce 'quoted' k=3")
    frame.iloc[:10].to_csv(folder / name, index=False)
    frame.iloc[:5].to_csv(folder / "transactions__azz.csv", index=False)  # what the pattern above would match
    settings = settings_for(folder, tmp_path / "home")
    report = land(settings)
    load = next(load for load in report.loads_new if load.file_name == name)
    assert load.rows_count == 10
    assert "k" not in load.extra_column_names


def test_parquet_types_become_their_text(canonical_tables, make_folder, tmp_path):
    frame = canonical_tables["transactions"].head(2).copy()
    frame["occurred_at"] = pd.to_datetime(frame["occurred_at"]).dt.tz_localize("Europe/Vilnius")
    frame["market_id"] = [7, 8]
    frame["gmv_amount"] = [0.1, float("nan")]
    folder = make_folder(canonical_tables)
    (folder / "transactions.csv").unlink()
    frame.to_parquet(folder / "transactions.parquet", index=False)
    settings = settings_for(folder, tmp_path / "home")
    land(settings)
    rows = landed(settings, "transactions", "market_id, gmv_amount, is_return, occurred_at")
    moment = frame["occurred_at"].iloc[0].tz_convert("UTC")
    assert rows[0] == ("7", "0.1", "false", f"{moment:%Y-%m-%d %H:%M:%S}+00")


@pytest.mark.parametrize(
    ("frequency", "period"), [("D", "day"), ("W-MON", "week"), ("MS", "month"), ("QS", "month")]
)
def test_period_follows_the_spacing_of_market_tables(
    frequency, period, market_only_tables, make_folder, tmp_path
):
    dates = pd.date_range("2023-01-01", periods=20, freq=frequency).delete([4, 9])
    outcomes = pd.DataFrame(
        {"market_id": "m", "period_start_date": dates.strftime("%Y-%m-%d"), "gmv_amount": 1}
    )
    outcomes.loc[0, "period_start_date"] = "not a date"
    settings = settings_for(make_folder({"market_outcomes": outcomes}), tmp_path / "home")
    land(settings)
    assert resolve_period(settings, settings.landing_dir) == period
    assert settings.resolved().period == period


def test_period_is_a_month_where_no_market_table_tells(canonical_tables, make_folder, tmp_path):
    del canonical_tables["market_covariates"]
    settings = settings_for(make_folder(canonical_tables), tmp_path / "home")
    land(settings)
    resolved = settings.resolved()
    assert (resolved.period, resolved.pre_periods_count, resolved.lead_periods_count) == ("month", 3, 1)


def test_manifest_says_when_and_what(canonical_folder, tmp_path):
    settings = settings_for(canonical_folder, tmp_path / "home")
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    land(settings)
    loads = read_manifest(settings.landing_dir, "canonical")
    assert [load.table_name for load in loads] == [
        name for name in CONTRACT if (canonical_folder / f"{name}.csv").exists()
    ]
    consumers = next(load for load in loads if load.table_name == "consumers")
    assert consumers.columns[-2:] == consumers.extra_column_names == ("plan", "tenure")
    assert len(consumers.load_id) == 16 and len(consumers.content_sha256) == 64
    assert all(load.landed_at >= before for load in loads)
