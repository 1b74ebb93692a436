"""Consumer ids under a key: what lands, that it joins, that keys do not mix, and that the key is written nowhere."""

import hashlib
import hmac

import duckdb
import pytest
from pydantic import ValidationError

from assets.landing.land import LandingError, land
from orchestration.resources.settings import Settings, load_settings

KEY = "0123456789abcdef0123456789abcdef-of-a-test"
ODD_IDS = ["7", "007", " 7", "NULL", "ünï 🙂", "'; drop table x", "{{ jinja }}", "a" * 300]


def landed(settings: Settings, table: str) -> list[tuple]:
    """(consumer_id, row_number) of the landed rows of a table."""
    path = settings.landing_dir / "canonical" / table / "*.parquet"
    return duckdb.sql(f"SELECT consumer_id, row_number FROM '{path}' ORDER BY row_number").fetchall()


def by_hand(consumer_id: str) -> str:
    return hmac.new(KEY.encode(), consumer_id.encode(), hashlib.sha256).hexdigest()[:32]


@pytest.fixture
def odd_folder(canonical_tables, make_folder):
    """The canonical folder whose first consumers have odd ids, in all three tables alike."""
    known = canonical_tables["consumers"]["consumer_id"].tolist()[: len(ODD_IDS)]
    names = dict(zip(known, ODD_IDS, strict=True))
    for table in ("consumers", "transactions", "exposures"):
        canonical_tables[table]["consumer_id"] = canonical_tables[table]["consumer_id"].replace(names)
    return make_folder(canonical_tables)


def test_ids_land_as_hmac_sha256_in_every_table(odd_folder, canonical_tables, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(odd_folder), id_key=KEY)
    land(settings)
    for table in ("consumers", "transactions", "exposures"):
        expected = [by_hand(value) for value in canonical_tables[table]["consumer_id"].astype(str)]
        assert [value for value, _ in landed(settings, table)] == expected
    assert set(map(by_hand, ODD_IDS)) <= {value for value, _ in landed(settings, "consumers")}


def test_a_missing_id_stays_missing(canonical_tables, make_folder, tmp_path):
    canonical_tables["transactions"].loc[3, "consumer_id"] = None
    settings = Settings(home=tmp_path / "home", source=str(make_folder(canonical_tables)), id_key=KEY)
    land(settings)
    assert (None, 4) in landed(settings, "transactions")


def test_without_a_key_ids_stay_as_they_are(odd_folder, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(odd_folder))
    land(settings)
    assert set(ODD_IDS) <= {value for value, _ in landed(settings, "consumers")}


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (KEY, None, "with an id_key, and now none is set"),
        (None, KEY, "without an id_key, and now one is set"),
        (KEY, KEY[::-1], "with another id_key, and now another one is set"),
    ],
)
def test_one_home_has_one_key(first, second, words, canonical_folder, tmp_path):
    land(Settings(home=tmp_path / "home", source=str(canonical_folder), id_key=first))
    land(Settings(home=tmp_path / "home", source=str(canonical_folder), id_key=first))
    with pytest.raises(LandingError, match=words):
        land(Settings(home=tmp_path / "home", source=str(canonical_folder), id_key=second))


def test_the_key_is_written_and_printed_nowhere(canonical_folder, tmp_path):
    settings = Settings(home=tmp_path / "home", source=str(canonical_folder), id_key=KEY)
    report = land(settings)
    texts = [
        repr(settings),
        str(settings),
        *settings.describe(),
        *report.lines(),
        repr(settings.model_dump()),
    ]
    assert KEY not in "".join(texts)
    assert "id_key = (set, not shown)" in settings.describe()
    for path in (tmp_path / "home").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


def test_a_key_that_protects_nothing_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="at least 32") as caught:
        Settings(home=tmp_path, source=str(tmp_path), id_key="hush")
    assert "hush" not in str(caught.value)
    with pytest.raises(ValidationError, match="holds no ids of your consumers"):
        Settings(home=tmp_path, source="simulated", id_key=KEY)


def test_the_key_comes_from_the_environment(tmp_path):
    settings = load_settings({"MEDIAMIX_SOURCE": str(tmp_path), "MEDIAMIX_ID_KEY": KEY})
    assert settings.id_key.get_secret_value() == KEY
    assert settings.resolved().id_key == settings.id_key
