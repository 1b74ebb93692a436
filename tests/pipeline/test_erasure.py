"""Erasure of one consumer: exact counts, nobody else touched, no way back by landing, and a scan that can fail."""

import datetime as dt
import json
from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.landing.land import land
from assets.landing.manifest import read_manifest
from assets.landing.pseudonyms import pseudonym
from assets.privacy import erasure
from assets.privacy.erasure import erase
from models.outcomes import FAILED, NOT_EVALUATED, PASSED
from orchestration.erase import erase_and_tell
from orchestration.resources.settings import Settings

KEY = "0123456789abcdef0123456789abcdef-of-a-test"
WHO, OTHER = "c01", "c02"


def write_derived(settings: Settings, ids: list[str]) -> None:
    """A mart with decimals and lists, an artefact, a CSV of an MLflow run, a log, a warehouse."""
    home = settings.home
    rows = {
        "consumer_id": [*ids, None],
        "gmv_net_amount": [Decimal("1.50"), Decimal("2.25"), None],
        "period_start_date": [dt.date(2024, 1, 1)] * 3,
        "statistics": [[1.0, 2.0], [3.0], None],
    }
    types = {"gmv_net_amount": pa.decimal128(18, 2), "statistics": pa.list_(pa.float64())}
    table = pa.table({name: pa.array(values, types.get(name)) for name, values in rows.items()})
    for folder in (
        "marts/consumer_periods/as_of_date=2024-01-31",
        "artefacts/consumer_channel_effects/family=x",
    ):
        (home / folder).mkdir(parents=True)
        pq.write_table(table, home / folder / "part.parquet")
    (home / "mlartifacts/run").mkdir(parents=True)
    text = "consumer_id,text\n" + "".join(f'{one},"a, ""b""\nc"\n' for one in ids)
    (home / "mlartifacts/run/effects.csv").write_text(text)
    (home / "dagster/logs").mkdir(parents=True)
    (home / "dagster/logs/run.log").write_text(f"consumer {ids[0]} has no purchases\n")
    (home / "dagster/logs/other.log").write_text(f"consumer {ids[0]}9 and x-{ids[0]} are others\n")
    settings.warehouse_path.write_bytes(b"pages")
    (home / "dbt/target").mkdir(parents=True)
    (home / "dbt/target/dbt.log").write_text("log")


def landed(settings: Settings, table: str) -> list[tuple]:
    path = settings.landing_dir / "canonical" / table / "*.parquet"
    return duckdb.sql(f"SELECT * FROM '{path}' ORDER BY load_sequence, row_number").fetchall()


@pytest.fixture(params=[None, KEY], ids=["plain ids", "hashed ids"])
def settings(request, canonical_folder, tmp_path):
    """A home with landed files, an inbox file that was landed, and derived files."""
    chosen = Settings(home=tmp_path / "home", source=str(canonical_folder), id_key=request.param)
    chosen.inbox_dir.mkdir(parents=True)
    one = pd.read_csv(canonical_folder / "transactions.csv").head(2).assign(consumer_id=[WHO, OTHER])
    one.assign(transaction_id=["late-1", "late-2"]).to_csv(
        chosen.inbox_dir / "transactions__late.csv", index=False
    )
    land(chosen)
    ids = [WHO, OTHER] if request.param is None else [pseudonym(KEY.encode(), one) for one in (WHO, OTHER)]
    write_derived(chosen, ids)
    return chosen


def test_everything_of_one_consumer_goes_and_nothing_of_the_others(settings, canonical_tables):
    landed_id = WHO if settings.id_key is None else pseudonym(KEY.encode(), WHO)
    tables = ("consumers", "transactions", "exposures")
    before = {table: landed(settings, table) for table in tables}
    result = erase(settings, WHO)
    assert result.is_proven, result.scan
    for table in tables:
        position = 1 if table == "transactions" else 0
        assert landed(settings, table) == [row for row in before[table] if row[position] != landed_id]
    counts = {removal.place: (removal.files_count, removal.rows_count) for removal in result.removals}
    expected = {table: int((canonical_tables[table]["consumer_id"] == WHO).sum()) for table in tables}
    assert counts == {
        "landing/canonical/consumers": (1, expected["consumers"]),
        "landing/canonical/exposures": (1, expected["exposures"]),
        "landing/canonical/transactions": (2, expected["transactions"] + 1),
        "inbox": (1, None),
        "warehouse.duckdb and dbt/target": (2, None),
        "marts: tables": (1, 1),
        "artefacts: tables": (1, 1),
        "mlartifacts: tables": (1, 1),
        "logs": (1, None),
    }
    mart = pq.read_table(next((settings.home / "marts").rglob("*.parquet")))
    assert mart.schema.field("gmv_net_amount").type == pa.decimal128(18, 2)
    assert mart.column("statistics").to_pylist() == [[3.0], None]
    assert pd.read_csv(settings.home / "mlartifacts/run/effects.csv")["text"].tolist() == ['a, "b"\nc']
    assert (settings.home / "dagster/logs/other.log").exists()
    for load in read_manifest(settings.landing_dir, "canonical"):
        path = settings.landing_dir / "canonical" / load.table_name / f"{load.load_id}.parquet"
        assert pq.read_metadata(path).num_rows == load.rows_count
    assert {line.split(": ")[1] for line in result.outside} == {
        f"{count} rows" for count in expected.values()
    }


def test_an_erased_consumer_never_lands_again(settings, canonical_tables):
    erase(settings, WHO)
    assert land(settings).loads_new == ()  # the originals in the source folder are known
    late = canonical_tables["transactions"].head(3).assign(consumer_id=[WHO, OTHER, None])
    late.assign(transaction_id=["n1", "n2", "n3"]).to_csv(
        settings.inbox_dir / "transactions__new.csv", index=False
    )
    (load,) = land(settings).loads_new
    assert load.rows_count == 2
    rows = [row for row in landed(settings, "transactions") if row[0] in ("n1", "n2", "n3")]
    assert [row[0] for row in rows] == ["n2", "n3"]
    text = (settings.landing_dir / "canonical" / "tombstones.json").read_text()
    assert WHO not in text


def test_a_killed_erasure_goes_on_where_it_was(settings, monkeypatch):
    whole = erasure.remove_rows

    def die(path, consumer_id):
        whole(path, consumer_id)
        raise KeyboardInterrupt

    monkeypatch.setattr(erasure, "remove_rows", die)
    with pytest.raises(KeyboardInterrupt):
        erase(settings, WHO)
    monkeypatch.setattr(erasure, "remove_rows", whole)
    assert erase(settings, WHO).is_proven
    assert sum(load.rows_count for load in read_manifest(settings.landing_dir, "canonical")) == sum(
        len(landed(settings, load))
        for load in {one.table_name for one in read_manifest(settings.landing_dir, "canonical")}
    )


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("artefacts/left.csv", f"consumer_id\n{WHO}\n", "tables in artefacts/"),
        ("artefacts/notes.json", json.dumps({"worst": WHO}), "id as a word in any file"),
        ("inbox/notes.txt", f"call {WHO}.", "id as a word in any file"),
    ],
)
def test_the_scan_finds_what_was_left(name, content, place, canonical_folder, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(canonical_folder))
    land(settings)
    assert erase(settings, WHO).is_proven
    path = settings.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    failed = [item for item in erasure.scan(settings, WHO, WHO) if item.outcome != PASSED]
    assert place in {item.place for item in failed}
    assert all(item.outcome == FAILED and path.name in item.text for item in failed)


def test_what_could_not_be_searched_is_not_proven(canonical_tables, make_folder, tmp_path, capsys):
    for name in ("consumers", "transactions", "exposures"):
        frame = canonical_tables[name]
        frame["consumer_id"] = frame["consumer_id"].replace({WHO: "77"})
    settings = Settings(
        home=tmp_path / "home",
        source=str(make_folder(canonical_tables)),
        mlflow_tracking_uri="postgresql://db/mlflow",
    )
    land(settings)
    assert erase_and_tell(settings, "77") == 1
    printed = capsys.readouterr().out
    assert "NOT proven" in printed
    (record,) = (settings.home / "erasures").glob("*.json")
    said = json.loads(record.read_text())
    outcomes = {item["place"]: item["outcome"] for item in said["scan"]}
    assert outcomes["id as a word in any file"] == outcomes["store of MLflow"] == NOT_EVALUATED
    assert outcomes["tables in landing/"] == PASSED
    assert not said["is_proven"]
