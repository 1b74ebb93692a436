"""Settings: who wins, what is refused, what is printed."""

import datetime as dt
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestration.resources.settings import CHECKOUT, Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    import os

    for name in [name for name in os.environ if name.startswith("MEDIAMIX_")]:
        monkeypatch.delenv(name)


def test_defaults_of_each_source(tmp_path):
    journey = Settings()
    assert journey.home == CHECKOUT / ".mediamix"
    assert (journey.source_name, journey.period, journey.timezone) == (
        "complete_journey",
        "week",
        "America/New_York",
    )
    assert (journey.currency_code, journey.pre_periods_count, journey.lead_periods_count) == ("USD", 12, 3)
    simulated = Settings(source="simulated")
    assert (simulated.period, simulated.timezone, simulated.pre_periods_count) == ("month", "UTC", 3)
    folder = Settings(source=str(tmp_path))
    assert (folder.source_name, folder.period, folder.pre_periods_count) == ("canonical", None, None)


def test_what_the_user_sets_wins_over_what_the_source_brings():
    settings = Settings(source="complete_journey", period="month", currency_code="EUR")
    assert (settings.period, settings.currency_code, settings.pre_periods_count) == ("month", "EUR", 3)


def test_environment_then_home_then_source_folder(tmp_path):
    home, source = tmp_path / "home", tmp_path / "source"
    home.mkdir()
    source.mkdir()
    (source / "mediamix.toml").write_text('seed = 1\ntimezone = "Asia/Tokyo"\nperiod = "day"\n')
    (home / "mediamix.toml").write_text('seed = 2\ntimezone = "Europe/Vilnius"\nas_of_date = 2024-03-31\n')
    environment = {"MEDIAMIX_HOME": str(home), "MEDIAMIX_SOURCE": str(source), "MEDIAMIX_SEED": "3"}
    settings = load_settings(environment)
    assert (settings.seed, settings.timezone, settings.period) == (3, "Europe/Vilnius", "day")
    assert settings.as_of_date == dt.date(2024, 3, 31)
    assert settings.pre_periods_count == 28


def test_the_home_file_may_name_the_source(tmp_path):
    (tmp_path / "mediamix.toml").write_text('source = "simulated"\n')
    assert load_settings({"MEDIAMIX_HOME": str(tmp_path)}).source_name == "simulated"


def test_the_process_environment_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIAMIX_HOME", str(tmp_path))
    monkeypatch.setenv("MEDIAMIX_DRAWS_COUNT", "77")
    monkeypatch.setenv("MEDIAMIX_CURRENCY_CODE", "")
    settings = load_settings()
    assert (settings.home, settings.draws_count, settings.currency_code) == (tmp_path, 77, "USD")


@pytest.mark.parametrize("name", ["MEDIAMIX_SED", "MEDIAMIX_seed", "mediamix_home"])
def test_unknown_variable_is_named(name):
    with pytest.raises(SettingsError, match=f"{name}: no such setting"):
        load_settings({name: "1"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed = 1", "unknown setting sed"),
        ("home = 'x'", "home cannot be set in this file"),
        ("id_key = 'x'", "id_key cannot be set in this file"),
        ("seed = ", "not valid TOML"),
    ],
)
def test_bad_toml_is_refused_with_its_path(text, words, tmp_path):
    (tmp_path / "mediamix.toml").write_text(text)
    with pytest.raises(SettingsError, match=rf"mediamix\.toml.*{words}"):
        load_settings({"MEDIAMIX_HOME": str(tmp_path)})


def test_a_source_folder_cannot_move_the_home(tmp_path):
    (tmp_path / "mediamix.toml").write_text("source = 'simulated'")
    with pytest.raises(SettingsError, match="source cannot be set in this file"):
        load_settings({"MEDIAMIX_HOME": str(tmp_path / "home"), "MEDIAMIX_SOURCE": str(tmp_path)})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"source": "completejourney"}, "neither complete_journey nor simulated"),
        ({"timezone": "Mars"}, "timezone 'Mars' is unknown"),
        ({"currency_code": "euro"}, "not an ISO 4217 code"),
        ({"period": "year"}, "'day', 'week' or 'month'"),
        ({"interval_level": 1.0}, "less than 1"),
        ({"imputations_count": 1}, "greater than or equal to 2"),
        ({"sed": 1}, "Extra inputs are not permitted"),
    ],
)
def test_bad_values_are_refused(values, words):
    with pytest.raises(ValidationError, match=words):
        Settings(**values)


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().seed = 1


def test_secrets_are_not_printed(tmp_path):
    settings = Settings(home=tmp_path, mlflow_tracking_uri="postgresql://user:hush@db.example/mlflow")
    text = "\n".join(settings.describe())
    assert "hush" not in text
    assert "postgresql+psycopg2://user:****@db.example/mlflow" in text
    assert f"home = {tmp_path}" in text


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://u:h@ush@db/x",
        "postgresql://u:hu sh@db/x",
        "postgresql://db/x?sslmode=require&password=hush",
    ],
)
def test_odd_passwords_are_not_printed_either(uri, tmp_path):
    text = "\n".join(Settings(home=tmp_path, dagster_storage_uri=uri).describe())
    assert "ush" not in text
    assert "db/x" in text


@pytest.mark.parametrize("uri", ["mysql://user:hush@db/x", "postgresql://user:hush@db", "hush"])
def test_an_address_that_is_no_database_is_refused_without_its_password(uri, tmp_path):
    with pytest.raises(ValidationError, match="names no PostgreSQL database") as caught:
        Settings(home=tmp_path, dagster_storage_uri=uri)
    assert "user:hush" not in str(caught.value)


def test_one_database_cannot_hold_both_stores(tmp_path):
    uris = {
        "dagster_storage_uri": "postgresql://a:b@db:5432/x",
        "mlflow_tracking_uri": "postgres://c:d@DB/x/",
    }
    with pytest.raises(ValidationError, match=r"name the same database.*alembic_version"):
        Settings(home=tmp_path, **uris)
    apart = Settings(home=tmp_path, **(uris | {"mlflow_tracking_uri": "postgres://c:d@db/y"}))
    assert apart.mlflow_tracking_uri == "postgresql+psycopg2://c:d@db/y"
    schemas = [f"postgresql://db/x?options=-csearch_path%3D{name}" for name in "ab"]
    Settings(home=tmp_path, dagster_storage_uri=schemas[0], mlflow_tracking_uri=schemas[1])


def test_dbt_variables_are_plain_and_complete(tmp_path):
    settings = Settings(home=tmp_path, week_start="sunday", as_of_date="2017-12-31")
    assert settings.dbt_vars() == {
        "home": str(tmp_path),
        "source_name": "complete_journey",
        "period": "week",
        "week_start": 7,
        "timezone": "America/New_York",
        "currency_code": "USD",
        "as_of_date": "2017-12-31",
        "pre_periods_count": 12,
        "segment_consumers_least": 10,
        "outcome": "money",
    }
    assert Settings(home=tmp_path, outcome="log1p").dbt_vars()["outcome"] == "log1p"
    assert Settings(home=tmp_path, outcome="two_part").dbt_vars()["outcome"] == "money"
    assert Settings(home=tmp_path, source=str(tmp_path)).dbt_vars()["period"] == "month"


def test_outcomes_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ValidationError, match="outcome"):
        Settings(home=tmp_path, outcome="sqrt")
    with pytest.raises(ValidationError, match="refit the money model only"):
        Settings(home=tmp_path, outcome="two_part", robustness_refits=True)


def test_folders_lie_under_the_home(tmp_path):
    settings = Settings(home=tmp_path)
    assert settings.landing_dir == tmp_path / "landing"
    assert settings.marts_dir == tmp_path / "marts"
    assert settings.artefacts_dir == tmp_path / "artefacts"
    assert settings.warehouse_path == tmp_path / "warehouse.duckdb"
    assert settings.mlflow_tracking_uri == f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_loaded_settings_know_the_period_once_files_were_landed(canonical_folder, tmp_path):
    from assets.landing.land import land

    environment = {"MEDIAMIX_HOME": str(tmp_path / "home"), "MEDIAMIX_SOURCE": str(canonical_folder)}
    assert load_settings(environment).period is None
    land(load_settings(environment))
    assert load_settings(environment).period == "week"
    assert isinstance(load_settings(environment).source_folder, Path)


def test_interactions_are_pairs_from_the_environment_or_a_file(tmp_path):
    (tmp_path / "mediamix.toml").write_text('interactions = [["age", "plan"]]\n')
    environment = {"MEDIAMIX_HOME": str(tmp_path)}
    assert load_settings(environment).interactions == (("age", "plan"),)
    chosen = load_settings(environment | {"MEDIAMIX_INTERACTIONS": '[["income", "age, declared"]]'})
    assert chosen.interactions == (("income", "age, declared"),)
    from assets.hbmmm import hbmmm_config

    assert hbmmm_config(chosen).interactions == chosen.interactions
    assert Settings().interactions == ()


@pytest.mark.parametrize(
    "text, message",
    [
        ("age x plan", "is not JSON"),
        ('{"age": "plan"}', "give a list of pairs"),
        ('[["age"]]', "each interaction is a pair"),
        ('[["age", "plan"], ["plan", "age"]]', "twice"),
    ],
)
def test_interactions_that_are_no_pairs_are_refused(text, message, tmp_path):
    with pytest.raises(ValidationError, match=message):
        load_settings({"MEDIAMIX_HOME": str(tmp_path), "MEDIAMIX_INTERACTIONS": text})
