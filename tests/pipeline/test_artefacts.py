"""The seam between fits and dbt: registered schemas, atomic files, hashes of rows rather than of bytes."""

import datetime as dt

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from orchestration.resources.artefacts import (
    ARTEFACT_SCHEMAS,
    EFFECT_TABLES,
    ArtefactError,
    content_hash,
    read_artefact,
    write_artefact,
    write_schema_files,
)

AS_OF = dt.date(2024, 3, 31)


def effects(**columns):
    base = {"channel_id": ["push", "podcast"], "estimand": ["slope"] * 2, "mean": [1.5, -0.25]}
    return pd.DataFrame(base | columns)


def test_every_table_has_an_empty_typed_file(tmp_path):
    write_schema_files(tmp_path)
    for table, columns in ARTEFACT_SCHEMAS.items():
        path = tmp_path / table / "_schema" / "part.parquet"
        found = duckdb.read_parquet(str(path), hive_partitioning=False)
        assert dict(zip(found.columns, map(str, found.types), strict=True)) == columns
        assert found.fetchall() == []


def test_a_family_without_rows_still_leaves_a_typed_file(tmp_path):
    path = write_artefact(tmp_path, "placebo_results", "placebo", AS_OF, None)
    assert path == tmp_path / "placebo_results" / "family=placebo" / "as_of_date=2024-03-31" / "part.parquet"
    assert pq.ParquetFile(path).read().schema.names == list(ARTEFACT_SCHEMAS["placebo_results"])


def test_rows_come_back_sorted_with_missing_columns_null_and_the_date_filled_in(tmp_path):
    write_artefact(tmp_path, "channel_effects", "hbmmm", AS_OF, effects())
    back = read_artefact(tmp_path, "channel_effects", "hbmmm", AS_OF)
    assert back["channel_id"].tolist() == ["podcast", "push"]
    assert back["as_of_date"].tolist() == [AS_OF, AS_OF]
    assert back["is_identified"].isna().all()


def test_order_of_rows_changes_neither_bytes_nor_hash(tmp_path):
    first = write_artefact(tmp_path / "a", "channel_effects", "hbmmm", AS_OF, effects())
    second = write_artefact(tmp_path / "b", "channel_effects", "hbmmm", AS_OF, effects()[::-1])
    assert first.read_bytes() == second.read_bytes()


def test_a_column_that_dbt_would_not_see_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match=r"channel_effects got the columns \['surprise'\]"):
        write_artefact(tmp_path, "channel_effects", "hbmmm", AS_OF, effects(surprise=1))


def test_a_value_of_another_type_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match="does not fit its registered type"):
        write_artefact(tmp_path, "channel_effects", "hbmmm", AS_OF, effects(r_hat="high"))


@pytest.mark.parametrize("family", ["", "HBMMM", "../etc", "a b"])
def test_a_family_is_a_plain_name(tmp_path, family):
    with pytest.raises(ArtefactError, match="is not a name in lower case"):
        write_artefact(tmp_path, "channel_effects", family, AS_OF, None)


def test_an_unknown_table_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match="'effects' is no artefact table"):
        write_artefact(tmp_path, "effects", "hbmmm", AS_OF, None)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write_artefact(tmp_path, "channel_effects", "hbmmm", AS_OF, effects())
    before = path.read_bytes()
    with pytest.raises(ArtefactError, match="does not fit"):
        write_artefact(tmp_path, "channel_effects", "hbmmm", AS_OF, effects(ess="many"))
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["part.parquet"]


def test_content_hash_sees_rows_not_files(tmp_path):
    frame = pd.DataFrame({"id": ["a", "b", "c"], "amount": [0.1, 0.2, 0.3], "model_version": ["1", "1", "1"]})
    paths = {
        name: tmp_path / f"{name}.parquet"
        for name in ("plain", "reordered", "recoded", "changed", "versioned")
    }
    frame.to_parquet(paths["plain"])
    frame[::-1].to_parquet(paths["reordered"])
    frame.to_parquet(paths["recoded"], compression="gzip", row_group_size=1)
    frame.assign(amount=[0.1, 0.2, 0.30000000000000004]).to_parquet(paths["changed"])
    frame.assign(model_version="2").to_parquet(paths["versioned"])
    hashes = content_hash(paths.values())
    by_name = {name: hashes[str(path)] for name, path in paths.items()}
    assert by_name["plain"] == by_name["reordered"] == by_name["recoded"]
    assert by_name["changed"] != by_name["plain"]
    assert by_name["versioned"] != by_name["plain"]
    without = content_hash([paths["plain"], paths["versioned"]], excluded_columns=["model_version"])
    assert len(set(without.values())) == 1


def test_content_hash_sees_a_row_that_came_twice(tmp_path):
    once, twice = tmp_path / "once.parquet", tmp_path / "twice.parquet"
    pd.DataFrame({"id": ["a", "b"]}).to_parquet(once)
    pd.DataFrame({"id": ["a", "b", "b"]}).to_parquet(twice)
    hashes = content_hash([once, twice])
    assert hashes[str(once)] != hashes[str(twice)]


def test_the_dbt_source_has_the_columns_of_the_registry():
    import yaml

    from orchestration.resources.dbt import PROJECT_DIR

    text = (PROJECT_DIR / "models" / "reporting" / "_artefacts__sources.yml").read_text()
    (source,) = [item for item in yaml.safe_load(text)["sources"] if item["name"] == "artefacts"]
    for table in source["tables"]:
        columns = {column["name"]: column["data_type"].upper() for column in table["columns"]}
        assert columns == ARTEFACT_SCHEMAS[table["name"]]
    assert {table["name"] for table in source["tables"]} <= set(ARTEFACT_SCHEMAS)
    assert {*EFFECT_TABLES, "placebo_results", "champions"} <= {table["name"] for table in source["tables"]}
