"""What a refresh is, where its files lie, and which families could run on it.

``Refresh`` reads the exported marts (Parquet), never the DuckDB file. A family that cannot run leaves the
same files as one that ran, empty and typed, and one row that says why: "not evaluated" is never silence.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.resources.artefacts import (
    combined_hash,
    content_hash,
    write_artefact,
    write_frame,
    write_json,
)
from orchestration.resources.settings import Settings, load_settings

if TYPE_CHECKING:
    import pandas as pd

    from models.panel import ConsumerPanel

#: Of a family; the other status is models.outcomes.NOT_EVALUATED.
EVALUATED = "evaluated"
NO_CONSUMER_DATA = "no consumer data"
NO_EXPOSURE = "no exposure of any consumer"
_SAMPLE_SEED_STREAM = 5  # apart from the streams of fits and placebos, which share the seed of the settings
_MARTS_REMEDY = "the marts are built by dbt; materialise group marts first"
PANEL_MART_NAMES = (
    "consumer_periods",
    "consumer_channel_periods",
    "consumer_characteristics",
    "market_covariate_periods",
)
FIT_MART_NAMES = (*PANEL_MART_NAMES, "consumer_sufficient_statistics", "design_columns")


class RefreshError(RuntimeError):
    """The exported marts do not say what this refresh is."""


@dataclass(frozen=True)
class Refresh:
    """One refresh: what the marts know, up to which day.

    ``data_version`` is as_of_date, hash of the landed loads (knowledge) and hash of the rows of the marts
    (content); equal inputs give the equal version on any machine, at any time.
    """

    settings: Settings
    as_of_date: date
    period: str
    currency_code: str | None
    loads_hash: str
    source_name: str
    pre_period_end_date: date | None

    @property
    def lead_periods_count(self) -> int:
        """Periods of future exposure in the lead placebo."""
        from orchestration.resources.settings import LEAD_PERIODS

        return self.settings.lead_periods_count or LEAD_PERIODS[self.period]

    def is_pre_period(self, starts: "pd.Series") -> "pd.Series":
        """True where a period starts before the first panel period."""
        import pandas as pd

        if self.pre_period_end_date is None:
            return pd.Series(False, index=starts.index)
        return pd.to_datetime(starts) < pd.Timestamp(self.pre_period_end_date)

    @property
    def artefacts_dir(self) -> Path:
        """Where fits write."""
        return self.settings.artefacts_dir

    def mart_path(self, name: str) -> Path:
        """The exported file of a mart."""
        return (
            self.settings.marts_dir / name / f"as_of_date={self.as_of_date.isoformat()}" / f"{name}.parquet"
        )

    def read_mart(self, name: str) -> "pd.DataFrame":
        """A mart as a frame, in the order of its key."""
        return read_parquet(self.mart_path(name), _MARTS_REMEDY)

    def read_panel(self, with_excluded: str | None = None) -> "ConsumerPanel":
        """The validated consumer panel of this refresh; with_excluded: a reason whose excluded rows are put back."""
        from models import panel as of

        columns = (
            of.CONSUMER_PERIOD_COLUMNS,
            of.CHANNEL_PERIOD_COLUMNS,
            of.CHARACTERISTIC_COLUMNS,
            of.COVARIATE_COLUMNS,
        )
        frames = [
            read_columns(self.mart_path(name), chosen)
            for name, chosen in zip(PANEL_MART_NAMES, columns, strict=True)
        ]
        if with_excluded is not None:
            reasons = read_columns(self.mart_path(PANEL_MART_NAMES[0]), ["exclusion_reason"])
            put_back = (reasons["exclusion_reason"] == with_excluded).fillna(False)
            frames[0] = frames[0].assign(is_in_panel=frames[0]["is_in_panel"].astype(bool) | put_back)
        return of.ConsumerPanel.from_frames(
            *frames, currency_code=self.currency_code or "", period=self.period
        )

    def panel_sample(self, panel: "ConsumerPanel") -> "tuple[ConsumerPanel, dict[str, int]]":
        """The part of the panel that second opinions rest on, the same for all of them, and its size beside the whole.

        More than `second_opinion_consumers_count` consumers are sampled: second opinions hold a row a consumer and
        period in memory many times over, and their intervals show what the sample costs.
        """
        import numpy as np

        from models.evaluation.splits import consumers_sample

        rng = np.random.default_rng([self.settings.seed, _SAMPLE_SEED_STREAM])
        sample = consumers_sample(panel, self.settings.second_opinion_consumers_count, rng)
        return sample, {
            "consumers_count": sample.consumers_count,
            "rows_count": sample.rows_count,
            "consumers_in_panel": panel.consumers_count,
        }

    def content_hash(self, names: Iterable[str] = FIT_MART_NAMES) -> str:
        """Hash of the rows of the named marts, whatever the order of rows in the files."""
        paths = {name: self.mart_path(name) for name in names}
        hashes = content_hash(paths.values())
        return combined_hash({name: hashes[str(path)] for name, path in paths.items()})

    def folder(self, kind: str) -> Path:
        """``artefacts/<kind>/as_of_date=<date>``: working tables that dbt does not read."""
        return self.artefacts_dir / kind / f"as_of_date={self.as_of_date.isoformat()}"


@dataclass(frozen=True)
class PanelStatus:
    """Whether the consumer-level families can run, decided once per refresh by panels/consumer_panel."""

    status: str
    reason: str | None
    data_version: str
    content_hash: str
    counts: dict[str, Any]

    @property
    def is_evaluated(self) -> bool:
        """True if there is a panel to fit."""
        return self.status == EVALUATED


def load_refresh(settings: Settings | None = None) -> Refresh:
    """Read ``marts/current_refresh.parquet``; raises RefreshError if no warehouse was built yet."""
    settings = settings or load_settings()
    path = settings.marts_dir / "current_refresh.parquet"
    frame = read_parquet(path, "it is exported with the marts; run refresh_warehouse first")
    if len(frame) != 1 or frame["as_of_date"].isna().any():
        raise RefreshError(
            f"{path} has {len(frame)} rows and as_of_date {frame['as_of_date'].tolist()}: no accepted row has a "
            "date, so there is no period to model. Look at reporting.data_quality for what was quarantined."
        )
    row = frame.iloc[0]
    return Refresh(
        settings=settings,
        as_of_date=_day(row["as_of_date"]),
        period=str(row["period"]),
        currency_code=None if row["currency_code"] != row["currency_code"] else row["currency_code"],
        loads_hash=str(row["loads_hash"]),
        source_name=str(row["source_name"]),
        pre_period_end_date=_day(row["pre_period_end_date"]),
    )


def _day(value: Any) -> date | None:
    """A date from what Arrow or pandas made of one; None for a missing one."""
    if value is None or value != value:
        return None
    return value if type(value) is date else value.date()


def read_columns(path: Path, columns: Iterable[str]) -> "pd.DataFrame":
    """Columns of an exported mart, for millions of rows: texts as categories, decimals as floats, dates as times."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise RefreshError(f"{path} does not exist: {_MARTS_REMEDY}.")
    wanted = list(columns)
    fields = pq.read_schema(path)
    texts = [name for name in wanted if pa.types.is_string(fields.field(name).type)]
    table = pq.ParquetFile(path, read_dictionary=texts).read(columns=wanted)
    for position, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            table = table.set_column(position, field.name, table.column(position).cast(pa.float64()))
    return table.to_pandas(date_as_object=False, split_blocks=True, self_destruct=True)


def read_parquet(path: Path, remedy: str) -> "pd.DataFrame":
    """Read one Parquet file as it is (no folder names become columns)."""
    import pyarrow.parquet as pq

    if not path.exists():
        raise RefreshError(f"{path} does not exist: {remedy}.")
    return pq.ParquetFile(path).read().to_pandas()


def write_panel_status(refresh: Refresh, status: PanelStatus) -> Path:
    """Record the decision of panels/consumer_panel for the families."""
    return write_json(refresh.folder("panels") / "consumer_panel.json", vars(status))


def read_panel_status(refresh: Refresh) -> PanelStatus:
    """The decision of panels/consumer_panel."""
    path = refresh.folder("panels") / "consumer_panel.json"
    if not path.exists():
        raise RefreshError(f"{path} does not exist: materialise panels/consumer_panel first.")
    return PanelStatus(**json.loads(path.read_text(encoding="utf-8")))


def write_family(
    refresh: Refresh,
    family: str,
    status: str,
    reason: str | None,
    tables: "dict[str, pd.DataFrame] | None" = None,
    **facts: Any,
) -> Path:
    """Leave a family's working tables and its status row (JSON) for the assets downstream."""
    tables = {name: table for name, table in (tables or {}).items() if table is not None}
    folder = refresh.folder("estimates") / family
    for name, table in tables.items():
        write_frame(folder / f"{name}.parquet", table)
    content = {
        "family": family,
        "status": status,
        "reason": reason,
        "rows_count": sum(len(table) for table in tables.values()),
        "tables": sorted(tables),
        "facts": facts,
    }
    return write_json(folder / "status.json", content)


def read_family(refresh: Refresh, family: str) -> tuple[dict[str, Any], "dict[str, pd.DataFrame]"]:
    """A family's status and working tables."""
    folder = refresh.folder("estimates") / family
    path = folder / "status.json"
    if not path.exists():
        raise RefreshError(f"{path} does not exist: materialise the assets of family {family!r} first.")
    status = json.loads(path.read_text(encoding="utf-8"))
    tables = {name: read_parquet(folder / f"{name}.parquet", "run it again") for name in status["tables"]}
    return status, tables


def publish_status(refresh: Refresh, status: Mapping[str, Any], data_version: str) -> dict[str, Any]:
    """The row of `family_status` that says whether a family ran, written where dbt reads it."""
    import pandas as pd

    row = {name: status[name] for name in ("family", "status", "reason", "rows_count")}
    row["data_version"] = data_version
    frame = pd.DataFrame([row])
    write_artefact(refresh.artefacts_dir, "family_status", row["family"], refresh.as_of_date, frame)
    return row
