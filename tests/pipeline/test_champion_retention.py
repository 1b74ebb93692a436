"""A challenger that fails the gate does not take the champion's published rows of the same date away."""

import datetime as dt

import pandas as pd
import pytest

from assets import keys
from assets.champions import with_champion_rows
from assets.status import Refresh
from orchestration.resources.artefacts import EFFECT_TABLES, read_artefact, write_artefact
from orchestration.resources.settings import Settings
from orchestration.resources.tracking import Tracking

AS_OF = dt.date(2024, 3, 31)
KEY_COLUMNS = {
    "channel_effects": {},
    "market_channel_effects": {"market_id": "north"},
    "segment_channel_effects": {"segment_name": "plan", "segment_value": "basic", "consumers_count": 12},
    "consumer_channel_effects": {"consumer_id": "c1", "learned_share": 0.5},
}


@pytest.fixture
def refresh(tmp_path):
    settings = Settings(home=tmp_path, source="simulated")
    return Refresh(settings, AS_OF, "month", "EUR", "0" * 64, "simulated", dt.date(2024, 1, 1))


@pytest.fixture
def champion_is(monkeypatch):
    """Set the version behind the alias `champion`; it was fitted on the data of this date."""

    def set_version(version):
        monkeypatch.setattr(Tracking, "alias_version", lambda *_: version)
        monkeypatch.setattr(Tracking, "version_tag", lambda *_: AS_OF.isoformat(), raising=False)

    return set_version


def rows_of(version, table="channel_effects", mean=1.0):
    key = {"channel_id": ["mail", "tv"], "estimand": "slope", "model_name": keys.REGISTERED_HBMMM}
    return pd.DataFrame(key | KEY_COLUMNS[table] | {"mean": mean, "model_version": version})


def publish(refresh, effects, table="channel_effects", family=keys.FAMILY_HBMMM):
    """What the asset does with a family's rows; returns {version: means} as stored."""
    kept = with_champion_rows(effects, refresh, table, family)
    write_artefact(refresh.artefacts_dir, table, family, AS_OF, kept)
    stored = read_artefact(refresh.artefacts_dir, table, family, AS_OF)
    return {str(version): part["mean"].tolist() for version, part in stored.groupby("model_version")}


@pytest.mark.parametrize("table", EFFECT_TABLES)
def test_the_champions_rows_stay_beside_those_of_a_challenger(refresh, champion_is, table):
    champion_is(None)
    assert publish(refresh, rows_of("1", table), table) == {"1": [1.0, 1.0]}
    champion_is("1")
    assert publish(refresh, rows_of("2", table, 2.0), table) == {"1": [1.0, 1.0], "2": [2.0, 2.0]}
    # version 2 failed the gate; the next challenger replaces it, and the champion still stays
    assert publish(refresh, rows_of("3", table, 3.0), table) == {"1": [1.0, 1.0], "3": [3.0, 3.0]}


def test_a_champion_that_is_computed_again_has_its_new_rows_only(refresh, champion_is):
    champion_is("1")
    publish(refresh, rows_of("1"))
    assert publish(refresh, rows_of("1", mean=1.5)) == {"1": [1.5, 1.5]}


def test_without_a_champion_the_failed_version_goes(refresh, champion_is):
    champion_is(None)
    publish(refresh, rows_of("1"))
    assert publish(refresh, rows_of("2", mean=2.0)) == {"2": [2.0, 2.0]}


def test_rows_of_other_dates_and_families_are_left_alone(refresh, champion_is):
    champion_is("1")
    other_day = dt.date(2024, 2, 29)
    write_artefact(refresh.artefacts_dir, "channel_effects", keys.FAMILY_HBMMM, other_day, rows_of("1"))
    assert publish(refresh, rows_of("2", mean=2.0)) == {"2": [2.0, 2.0]}
    publish(refresh, rows_of("1"), family=keys.FAMILY_WITHIN)
    assert publish(refresh, rows_of("2"), family=keys.FAMILY_WITHIN) == {"2": [1.0, 1.0]}
