"""Settings of a home: one validated, frozen class, read from the environment and optional TOML files.

Order, first wins: environment (``MEDIAMIX_<FIELD>``), ``<home>/mediamix.toml``, ``<source folder>/mediamix.toml``
(folders of files in the contract's shape only), defaults of the source, defaults of the field.
"""

from __future__ import annotations

import datetime as dt
import glob
import json
import os
import re
import tomllib
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestration.resources.stores import checked_dagster_uri, is_same_database, masked, with_driver

Period = Literal["day", "week", "month"]
Outcome = Literal["money", "log1p", "two_part"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

ENV_PREFIX = "MEDIAMIX_"
TOML_NAME = "mediamix.toml"
CHECKOUT = Path(__file__).resolve().parents[2]
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NAMED_SOURCES = ("complete_journey", "simulated")

#: Defaults that a source brings along; anything the user sets wins over them.
SOURCE_DEFAULTS: dict[str, dict[str, str]] = {
    "complete_journey": {"period": "week", "timezone": "America/New_York", "currency_code": "USD"}
    | {"response_markets_most": "12"},  # its stores have some 25 households each
    "simulated": {"period": "month"},
    "canonical": {},
}
#: Periods before the first outcome period, and periods of future exposure in the lead placebo.
PRE_PERIODS: dict[Period, int] = {"day": 28, "week": 12, "month": 3}
LEAD_PERIODS: dict[Period, int] = {"day": 7, "week": 3, "month": 1}
#: Sampler settings; None leaves them to the defaults of the model's own configuration.
SAMPLER_FIELDS = ("chains_count", "tune_count", "draws_count", "target_accept")
#: What is printed of a setting that has no value; of all others: (from the data).
NO_VALUE = dict.fromkeys(SAMPLER_FIELDS, "(the model's own)") | {
    "id_key": "(none: consumer ids land as they are)"
}
#: Secrets come from the environment alone: a file is copied, committed and backed up.
ENVIRONMENT_ONLY = ("id_key", "alert_webhook_url")
#: Market tables whose spacing tells the period, best first.
PERIOD_TABLES = ("market_outcomes", "marketing_activities", "market_covariates", "mediators")


class SettingsError(ValueError):
    """A setting is unknown or contradicts another one."""


class Settings(BaseSettings):
    """Everything a run needs to know that is not data. Immutable; ``describe()`` prints it without passwords.

    ``period``, ``pre_periods_count`` and ``lead_periods_count`` are None only for a folder source whose period was
    not set: they follow from the landed market tables, see ``resolved()``.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        validate_default=True,
        hide_input_in_errors=True,  # a wrong address may hold a password, and errors are logged
    )

    home: Path = CHECKOUT / ".mediamix"
    source: str = "complete_journey"
    period: Period | None = None
    week_start: Weekday = "monday"
    timezone: str = "UTC"
    currency_code: str | None = None
    as_of_date: dt.date | None = None
    pre_periods_count: int | None = Field(default=None, ge=1)
    lead_periods_count: int | None = Field(default=None, ge=1)
    seed: int = Field(default=20261121, ge=0)
    outcome: Outcome = "money"
    imputations_count: int = Field(default=5, ge=2)
    interactions: tuple[tuple[str, str], ...] = ()
    interval_level: float = Field(default=0.95, gt=0, lt=1)
    chains_count: int | None = Field(default=None, ge=1)
    tune_count: int | None = Field(default=None, ge=1)
    draws_count: int | None = Field(default=None, ge=1)
    target_accept: float | None = Field(default=None, gt=0, lt=1)
    fit_processes_count: int = Field(default=2, ge=1)
    gate_r_hat_most: float = Field(default=1.01, gt=1)
    gate_ess_least: float = Field(default=400.0, gt=0)
    gate_baseline_deviation_most: float = Field(default=0.05, gt=0)
    gate_quarantined_share_most: float = Field(default=0.10, ge=0, le=1)
    gate_overlap_least: float = Field(default=0.8, ge=0, le=1)
    gate_naive_ratio_most: float = Field(default=1.02, gt=0)
    gate_champion_ratio_most: float = Field(default=1.02, gt=0)
    gate_coverage_error_most: float = Field(default=0.05, gt=0)
    simulated_consumers_count: int = Field(default=2000, ge=1)
    simulated_markets_count: int = Field(default=10, ge=1)
    simulated_periods_count: int = Field(default=24, ge=2)
    simulated_confounding: float = Field(default=0.5, ge=0, le=1)
    mlflow_tracking_uri: str = ""
    dagster_storage_uri: str = ""
    id_key: SecretStr | None = Field(default=None, min_length=32)
    alert_webhook_url: SecretStr | None = None
    force_refit: bool = False
    robustness_refits: bool = False
    placebo_replicates_count: int = Field(default=200, ge=1)
    segment_consumers_least: int = Field(default=10, ge=1)
    second_opinion_consumers_count: int = Field(default=20_000, ge=1_000)
    response_markets_most: int = Field(default=200, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _fill_source_defaults(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        source = str(filled.get("source") or cls.model_fields["source"].default)
        for name, default in SOURCE_DEFAULTS[_source_name(source)].items():
            if filled.get(name) is None:
                filled[name] = default
        period = filled.get("period")
        if period in PRE_PERIODS:
            if filled.get("pre_periods_count") is None:
                filled["pre_periods_count"] = PRE_PERIODS[period]
            if filled.get("lead_periods_count") is None:
                filled["lead_periods_count"] = LEAD_PERIODS[period]
        home = Path(filled.get("home") or cls.model_fields["home"].default).expanduser().resolve()
        filled["home"] = home
        if not filled.get("mlflow_tracking_uri"):
            filled["mlflow_tracking_uri"] = f"sqlite:///{home / 'mlflow.db'}"
        filled["mlflow_tracking_uri"] = with_driver(str(filled["mlflow_tracking_uri"]).strip())
        return filled

    @field_validator("source")
    @classmethod
    def _check_source(cls, source: str) -> str:
        if source in NAMED_SOURCES:
            return source
        path = Path(source).expanduser()
        looks_like_a_name = re.fullmatch(r"[\w-]+", source) is not None
        if looks_like_a_name and not path.exists():
            raise ValueError(
                f"source '{source}' is neither {' nor '.join(NAMED_SOURCES)}, and no folder of that name exists in "
                f"{Path.cwd()}. Name one of the two, or give the path of a folder with files in the contract's shape."
            )
        return str(path.resolve())

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, timezone: str) -> str:
        if timezone not in zoneinfo.available_timezones():
            raise ValueError(
                f"timezone '{timezone}' is unknown; use an IANA name such as 'Europe/Vilnius' or 'UTC'."
            )
        return timezone

    @model_validator(mode="after")
    def _check_outcome(self) -> Settings:
        if self.outcome != "money" and self.robustness_refits:
            raise ValueError(
                f"robustness_refits is set, and outcome is '{self.outcome}': placebos and robustness refit the money "
                "model only. Unset robustness_refits, or take outcome money."
            )
        return self

    @field_validator("dagster_storage_uri")
    @classmethod
    def _check_dagster_storage(cls, uri: str) -> str:
        return checked_dagster_uri(uri)

    @model_validator(mode="after")
    def _check_stores(self) -> Settings:
        if is_same_database(self.dagster_storage_uri, self.mlflow_tracking_uri):
            raise ValueError(
                f"dagster_storage_uri and mlflow_tracking_uri name the same database, "
                f"{masked(self.dagster_storage_uri)}: both keep their schema version in a table alembic_version and "
                "would break each other. Give each a database of its own on the same server."
            )
        return self

    @field_validator("alert_webhook_url")
    @classmethod
    def _check_webhook(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("alert_webhook_url is no http address; give https://... or leave it unset.")
        return url

    @model_validator(mode="after")
    def _check_id_key(self) -> Settings:
        if self.id_key is not None and self.source_name != "canonical":
            raise ValueError(
                f"id_key is set, and source is {self.source_name}, which holds no ids of your consumers and lands as "
                "it is. Unset MEDIAMIX_ID_KEY for this run, or name the folder of your own files."
            )
        return self

    @field_validator("currency_code")
    @classmethod
    def _check_currency(cls, code: str | None) -> str | None:
        if code is not None and re.fullmatch(r"[A-Z]{3}", code) is None:
            raise ValueError(
                f"currency_code '{code}' is not an ISO 4217 code; use three capitals such as 'EUR'."
            )
        return code

    @field_validator("interactions", mode="before")
    @classmethod
    def _check_interactions(cls, pairs: Any) -> Any:
        from models.hbmmm.config import checked_pairs

        if isinstance(pairs, str):
            try:
                pairs = json.loads(pairs)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"interactions is {pairs!r}, which is not JSON ({error}); give a list of pairs of characteristics, "
                    'such as [["age", "plan"]].'
                ) from error
        if not isinstance(pairs, list | tuple):
            raise ValueError(f"interactions is {pairs!r}; give a list of pairs, such as [['age', 'plan']].")
        return checked_pairs(pairs)

    @property
    def source_name(self) -> str:
        """complete_journey, simulated or canonical."""
        return _source_name(self.source)

    @property
    def source_folder(self) -> Path | None:
        """Folder of a canonical source; None for the named sources."""
        return Path(self.source) if self.source_name == "canonical" else None

    @property
    def inbox_dir(self) -> Path:
        """Where files of a canonical source may arrive later."""
        return self.home / "inbox"

    @property
    def landing_dir(self) -> Path:
        """Landed files of all sources."""
        return self.home / "landing"

    @property
    def marts_dir(self) -> Path:
        """Exported marts."""
        return self.home / "marts"

    @property
    def artefacts_dir(self) -> Path:
        """Result tables of fits, and the truth of a simulated world."""
        return self.home / "artefacts"

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file; only dbt opens it."""
        return self.home / "warehouse.duckdb"

    def resolved(self) -> Settings:
        """Copy with the period and what follows from it filled in; call it after landing."""
        if self.period is not None:
            return self
        return Settings(**(self.model_dump() | {"period": resolve_period(self)}))

    def dbt_vars(self) -> dict[str, str | int]:
        """Variables of the dbt project; '' means: derive it from the data."""
        settings = self.resolved()
        return {
            "home": str(settings.home),
            "source_name": settings.source_name,
            "period": str(settings.period),
            "week_start": WEEKDAYS.index(settings.week_start) + 1,
            "timezone": settings.timezone,
            "currency_code": settings.currency_code or "",
            "as_of_date": settings.as_of_date.isoformat() if settings.as_of_date else "",
            "pre_periods_count": int(settings.pre_periods_count or 0),
            "segment_consumers_least": settings.segment_consumers_least,
            "outcome": "log1p"
            if settings.outcome == "log1p"
            else "money",  # two parts are of the panel's rows
        }

    def describe(self) -> list[str]:
        """Lines ``name = value`` for printing; passwords in addresses are masked."""
        lines = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name == "dagster_storage_uri" and not value:
                value = f"(SQLite in {self.home / 'dagster'})"
            elif isinstance(value, str):
                value = masked(value)
            elif isinstance(value, SecretStr):
                value = "(set, not shown)"
            elif value is None:
                value = NO_VALUE.get(name, "(from the data)")
            lines.append(f"{name} = {value}")
        return lines


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this process; raises SettingsError or pydantic's ValidationError naming the culprit.

    The period of a folder source is filled in as soon as files were landed into the home.
    """
    environment = os.environ if environment is None else environment
    _refuse_unknown_variables(environment)
    from_environment = {
        name: environment[ENV_PREFIX + name.upper()]
        for name in Settings.model_fields
        if environment.get(ENV_PREFIX + name.upper())
    }
    home = Path(from_environment.get("home") or Settings.model_fields["home"].default).expanduser()
    values = _read_toml(home / TOML_NAME, forbidden=("home", *ENVIRONMENT_ONLY)) | from_environment
    source = str(values.get("source") or Settings.model_fields["source"].default)
    if _source_name(source) == "canonical":
        folder = Path(source).expanduser()
        values = _read_toml(folder / TOML_NAME, forbidden=("home", "source", *ENVIRONMENT_ONLY)) | values
    settings = Settings(**values)
    return settings.resolved() if _has_landed_period_tables(settings) else settings


def resolve_period(settings: Settings, landing_dir: Path | None = None) -> Period:
    """Period of the deployment: as set, else from the spacing of landed market tables, else month.

    The commonest gap between neighbouring period_start_dates of a market decides: 1 day, 7 days, otherwise month.
    """
    if settings.period is not None:
        return settings.period
    folder = (landing_dir or settings.landing_dir) / settings.source_name
    import duckdb  # on use: most processes know their period

    for table in PERIOD_TABLES:
        files = sorted(glob.escape(str(path)) for path in (folder / table).glob("*.parquet"))
        if not files or not (folder / "manifest.parquet").exists():
            continue
        with duckdb.connect(":memory:") as connection:
            row = connection.execute(
                """
                WITH dates AS (
                    SELECT DISTINCT market_id, try_cast(period_start_date AS DATE) AS start_date
                    FROM read_parquet($1, union_by_name = true, hive_partitioning = false) AS landed
                    SEMI JOIN (SELECT load_id FROM read_parquet($2, hive_partitioning = false)) USING (load_id)
                ), gaps AS (
                    SELECT start_date - lag(start_date) OVER (PARTITION BY market_id ORDER BY start_date) AS days
                    FROM dates WHERE start_date IS NOT NULL
                )
                SELECT days FROM gaps WHERE days IS NOT NULL GROUP BY days ORDER BY count(*) DESC, days LIMIT 1
                """,
                [files, glob.escape(str(folder / "manifest.parquet"))],
            ).fetchone()
        if row is not None:
            return {1: "day", 7: "week"}.get(int(row[0]), "month")  # type: ignore[return-value]
    return "month"


def _source_name(source: str) -> str:
    return source if source in NAMED_SOURCES else "canonical"


def _has_landed_period_tables(settings: Settings) -> bool:
    return settings.period is None and (settings.landing_dir / "canonical" / "manifest.parquet").exists()


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(
        name for name in environment if name.upper().startswith(ENV_PREFIX) and name not in known
    )
    if unknown:
        raise SettingsError(
            f"{', '.join(unknown)}: no such setting, so it would be ignored without a word. Correct or unset it; "
            f"known are {', '.join(sorted(known))}."
        )


def _read_toml(path: Path, forbidden: tuple[str, ...]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML ({error}). Correct it or remove it.") from error
    unknown = sorted(set(values) - set(Settings.model_fields))
    if unknown:
        raise SettingsError(
            f"{path}: unknown setting {', '.join(unknown)}. Correct or remove it; known are "
            f"{', '.join(sorted(set(Settings.model_fields) - set(forbidden)))}."
        )
    misplaced = sorted(set(values) & set(forbidden))
    if misplaced:
        raise SettingsError(
            f"{path}: {', '.join(misplaced)} cannot be set in this file. Set it in the environment "
            f"({', '.join(ENV_PREFIX + name.upper() for name in misplaced)})."
        )
    return values
