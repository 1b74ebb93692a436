"""Kill -9, two landings at once, deleted files: nothing is lost and nothing is half there."""

import signal
import subprocess
import sys
import time

import duckdb
import pytest

from assets.landing.land import LandingError, land
from assets.landing.manifest import landing_lock, prepare_landing, read_manifest
from orchestration.resources.settings import Settings

#: Lands MEDIAMIX_SOURCE into MEDIAMIX_HOME and dies, unannounced, at the n-th rename (0: never).
LAND_AND_DIE = """
import os, signal, sys
from assets.landing.land import land
from orchestration.resources.settings import load_settings

calls, rename, last = 0, os.replace, int(sys.argv[1])
def replace(source, target):
    global calls
    calls += 1
    if calls == last:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
os.replace = replace
land(load_settings())
"""
#: Renames: the home's mark of its id key, then every file into staging, then into place, then the manifest.
FILES_COUNT = 6  # of canonical_folder
RENAMES_COUNT = 1 + 2 * FILES_COUNT + 1


def process(settings: Settings, die_at: int) -> subprocess.Popen:
    environment = {"MEDIAMIX_HOME": str(settings.home), "MEDIAMIX_SOURCE": settings.source}
    return subprocess.Popen([sys.executable, "-c", LAND_AND_DIE, str(die_at)], env=environment)


def contents(settings: Settings) -> dict[str, list[tuple]]:
    """All landed rows by table, without the moment of landing."""
    folder = settings.landing_dir / "canonical"
    return {
        load.table_name: duckdb.sql(
            f"SELECT * EXCLUDE (landed_at) FROM read_parquet('{folder}/{load.table_name}/*.parquet') AS landed "
            f"SEMI JOIN read_parquet('{folder}/manifest.parquet') USING (load_id) ORDER BY row_number"
        ).fetchall()
        for load in read_manifest(settings.landing_dir, "canonical")
    }


@pytest.mark.parametrize(
    "die_at", [1, 2, FILES_COUNT + 1, FILES_COUNT + 2, 2 * FILES_COUNT + 1, RENAMES_COUNT]
)
def test_kill_at_any_rename_leaves_the_old_state_and_a_rerun_the_new_one(die_at, canonical_folder, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(canonical_folder))
    prepare_landing(settings)
    assert process(settings, die_at).wait(timeout=180) == -signal.SIGKILL
    assert read_manifest(settings.landing_dir, "canonical") == []
    report = land(settings)
    assert len(report.loads_new) == FILES_COUNT
    clean = Settings(home=tmp_path / "clean", source=str(canonical_folder))
    land(clean)
    assert contents(settings) == contents(clean)
    assert not (settings.landing_dir / ".staging").exists()


def test_the_kill_positions_above_are_all_there_are(canonical_folder, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(canonical_folder))
    prepare_landing(settings)
    assert process(settings, RENAMES_COUNT + 1).wait(timeout=180) == 0
    assert len(read_manifest(settings.landing_dir, "canonical")) == FILES_COUNT


def test_a_second_landing_waits_and_then_finds_everything_known(canonical_folder, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(canonical_folder))
    with landing_lock(settings.landing_dir):
        waiting = [process(settings, 0), process(settings, 0)]
        time.sleep(1.5)
        assert [child.poll() for child in waiting] == [None, None]
    assert [child.wait(timeout=180) for child in waiting] == [0, 0]
    assert [load.load_sequence for load in read_manifest(settings.landing_dir, "canonical")] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_a_deleted_landed_file_is_put_back_from_its_original(canonical_folder, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(canonical_folder))
    load = land(settings).loads_new[0]
    target = settings.landing_dir / "canonical" / load.table_name / f"{load.load_id}.parquet"
    before = target.read_bytes()
    target.unlink()
    assert land(settings).loads_new == ()
    assert target.read_bytes() == before


def test_a_deleted_landed_file_without_its_original_is_reported(canonical_folder, canonical_tables, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(canonical_folder))
    load = land(settings).loads_new[0]
    (settings.landing_dir / "canonical" / load.table_name / f"{load.load_id}.parquet").unlink()
    canonical_tables["transactions"].head(3).to_csv(canonical_folder / "transactions.csv", index=False)
    with pytest.raises(LandingError, match="has since disappeared"):
        land(settings)


def test_a_deleted_manifest_is_not_taken_for_an_empty_one(canonical_folder, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(canonical_folder))
    land(settings)
    (settings.landing_dir / "canonical" / "manifest.parquet").unlink()
    with pytest.raises(LandingError, match="missing although 6 landed files are there"):
        land(settings)


def test_a_file_that_changes_while_it_is_read_is_refused(canonical_folder, tmp_path, monkeypatch):
    from assets.landing import land as module

    settings = Settings(home=tmp_path / "home", source=str(canonical_folder))
    original = module.write_parquet

    def write_and_grow(connection, query, target, parameters=()):
        with (canonical_folder / "channels.csv").open("a") as handle:
            handle.write("tv,TV,paid\n")
        return original(connection, query, target, parameters)

    monkeypatch.setattr(module, "write_parquet", write_and_grow)
    with pytest.raises(LandingError, match=r"channels\.csv: it changed while it was read"):
        land(settings)
    assert read_manifest(settings.landing_dir, "canonical") == []
