"""What is refused whole, with which words, and that nothing at all is landed then."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.landing.land import LandingError, land
from assets.landing.manifest import read_manifest
from orchestration.resources.settings import Settings

MARKETS = b"market_id,name\n"


def refusal(folder: Path, home: Path) -> LandingError:
    """The refusal of a folder; asserts that it left no load and no data file."""
    settings = Settings(home=home, source=str(folder))
    with pytest.raises(LandingError, match="Nothing was landed") as caught:
        land(settings)
    assert read_manifest(settings.landing_dir, "canonical") == []
    files = [path for path in settings.landing_dir.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"_schema.parquet", "manifest.parquet", ".lock"}
    return caught.value


def test_missing_column_names_column_file_and_what_is_expected(canonical_tables, make_folder, tmp_path):
    canonical_tables["transactions"] = canonical_tables["transactions"].drop(columns="gmv_amount")
    error = refusal(make_folder(canonical_tables), tmp_path / "home")
    assert [item.file_name for item in error.refused] == ["transactions.csv"]
    assert "missing column gmv_amount; transactions needs transaction_id, consumer_id" in str(error)
    assert "may have is_return" in str(error)


def test_all_refused_files_are_listed_at_once(canonical_tables, make_folder, tmp_path):
    canonical_tables["transactions"] = canonical_tables["transactions"].drop(columns="gmv_amount")
    canonical_tables["exposures"] = canonical_tables["exposures"].drop(columns=["channel_id", "occurred_at"])
    folder = make_folder(canonical_tables)
    (folder / "channels.csv").write_bytes(b"")
    error = refusal(folder, tmp_path / "home")
    assert [item.file_name for item in error.refused] == ["transactions.csv", "exposures.csv", "channels.csv"]
    assert "missing column channel_id, occurred_at" in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "0 bytes", id="0 bytes"),
        pytest.param(b"\n", "no header", id="blank"),
        pytest.param(MARKETS + b"m1\n", "line 2: 1 values where the header has 2 columns", id="short row"),
        pytest.param(MARKETS + b"m1,a\nm2,b,c\n", "line 3: 3 values where the header has 2", id="long row"),
        pytest.param(MARKETS + b"m1,a\nm2,\xe9vora\n", "line 3: bytes that are not UTF-8", id="Latin-1"),
        pytest.param(b"market_id,na\xefve\nm1,a\n", "line 1: bytes that are not UTF-8", id="Latin-1 header"),
        pytest.param("market_id,name\nm1,a\n".encode("utf-16"), "UTF-16. Save it as UTF-8", id="UTF-16"),
        pytest.param(MARKETS + b'"m1,a\nm2,b\n', "line 2: a double quote opens", id="open quote"),
        pytest.param(MARKETS + b"m1,a\r\nm2,b\n", "line ends are mixed", id="mixed line ends"),
        pytest.param(b"market_id,name,name\nm1,a,b\n", "column names occur twice: name", id="name twice"),
        pytest.param(b",market_id\n0,m1\n", "column 1 has no name: probably a pandas index", id="index"),
        pytest.param(b"Market_ID ,name\nm1,a\n", "Rename 'Market_ID ' to 'market_id'", id="other case"),
        pytest.param(b"market_id;name\nm1;a\n", "separated by semicolons", id="semicolons"),
        pytest.param(b"PAR1xx", "Parquet under the name .csv", id="Parquet"),
        pytest.param(MARKETS + b"x" * 3_000_000 + b",a\n", "line 2: ", id="endless record"),
    ],
)
def test_unreadable_csv_is_refused_with_its_line(content, words, canonical_folder, tmp_path):
    (canonical_folder / "markets.csv").write_bytes(content)
    error = refusal(canonical_folder, tmp_path / "home")
    assert words in str(error)
    assert [item.file_name for item in error.refused] == ["markets.csv"]


def test_late_bad_byte_in_a_large_file_is_found_before_anything_lands(canonical_folder, tmp_path):
    rows = b"".join(b"m%d,a\n" % number for number in range(200_000))
    (canonical_folder / "markets.csv").write_bytes(MARKETS + rows + b"m,\xff\n")
    assert "line 200002: bytes that are not UTF-8" in str(refusal(canonical_folder, tmp_path / "home"))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        pytest.param(pa.table({"market_id": ["m"], "tags": [["a"]]}), "tags (VARCHAR[])", id="list"),
        pytest.param(pa.table({"market_id": ["m"], "s": [{"a": 1}]}), "s (STRUCT(a BIGINT))", id="struct"),
        pytest.param(pa.table({"market_id": [b"m"]}), "market_id (BLOB)", id="binary"),
        pytest.param(
            pa.table([["m"], ["n"]], names=["market_id", "market_id"]), "occur twice: market_id", id="twice"
        ),
        pytest.param(
            pa.table({"market_id": ["m"], "__index_level_0__": [3]}), "probably a pandas index", id="index"
        ),
        pytest.param(pa.table({"name": ["m"]}), "missing column market_id", id="missing"),
    ],
)
def test_parquet_that_is_not_a_plain_table_is_refused(table, words, canonical_folder, tmp_path):
    (canonical_folder / "markets.csv").unlink()
    pq.write_table(table, canonical_folder / "markets.parquet")
    assert words in str(refusal(canonical_folder, tmp_path / "home"))


def test_broken_parquet_is_refused(canonical_folder, tmp_path):
    (canonical_folder / "markets.parquet").write_bytes(b"PAR1 and then nothing")
    assert "not a readable Parquet file" in str(refusal(canonical_folder, tmp_path / "home"))


def test_folder_without_any_table_says_what_names_are_expected(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "sales.csv").write_text("a\n1\n")
    text = str(refusal(folder, tmp_path / "home"))
    assert "found sales.csv" in text
    assert "<table>.csv or .parquet" in text and "transactions, exposures, consumers" in text


def test_missing_folder_is_refused(tmp_path):
    assert "no such folder" in str(refusal(tmp_path / "nowhere", tmp_path / "home"))


def test_folder_without_outcomes_is_refused(canonical_tables, make_folder, tmp_path):
    del canonical_tables["transactions"]
    text = str(refusal(make_folder(canonical_tables), tmp_path / "home"))
    assert "neither transactions nor market_outcomes" in text


def test_refused_file_leaves_earlier_loads_and_the_good_files_beside_it_alone(canonical_folder, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(canonical_folder))
    land(settings)
    before = {path: path.read_bytes() for path in settings.landing_dir.rglob("*.parquet")}
    pd.DataFrame({"channel_id": ["tv"]}).to_csv(settings.inbox_dir / "channels__more.csv", index=False)
    (settings.inbox_dir / "transactions__bad.csv").write_text("transaction_id\n1\n")
    with pytest.raises(LandingError, match=r"inbox/transactions__bad\.csv: missing column consumer_id"):
        land(settings)
    assert {path: path.read_bytes() for path in settings.landing_dir.rglob("*.parquet")} == before
    (settings.inbox_dir / "transactions__bad.csv").unlink()
    assert [load.file_name for load in land(settings).loads_new] == ["inbox/channels__more.csv"]


def test_a_second_source_in_a_home_is_refused_before_anything_lands(canonical_folder, tmp_path):
    home = tmp_path / "home"
    land(Settings(home=home, source=str(canonical_folder)))
    with pytest.raises(LandingError, match="holds data of the source canonical, and a home keeps one brand"):
        land(Settings(home=home, source="simulated", simulated_consumers_count=20))
    assert read_manifest(home / "landing", "simulated") == []
