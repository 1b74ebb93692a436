"""What fits leave behind for dbt: one schema registry, atomic Parquet writes, content hashes.

A table of the registry lies at ``artefacts/<table>/family=<family>/as_of_date=<date>/part.parquet``,
beside an empty typed ``artefacts/<table>/_schema/part.parquet``, so that the dbt source over the folder
always compiles and a family that did not run is told apart from a file that is missing. Files are written
to a temporary name and renamed: a reader sees the old file or the new one, never half of one.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_EFFECT_VALUES = {
    "estimand": "VARCHAR",
    "method": "VARCHAR",
    "model_name": "VARCHAR",
    "kpi": "VARCHAR",
    "horizon": "VARCHAR",
    "exposure_distribution": "VARCHAR",
    "mean": "DOUBLE",
    "standard_deviation": "DOUBLE",
    "interval_lower": "DOUBLE",
    "interval_upper": "DOUBLE",
    "interval_level": "DOUBLE",
    "probability_positive": "DOUBLE",
    "unit": "VARCHAR",
    "is_primary": "BOOLEAN",
    "is_identified": "BOOLEAN",
    "not_identified_reason": "VARCHAR",
    "r_hat": "DOUBLE",
    "ess": "DOUBLE",
    "k_hat": "DOUBLE",
    "model_version": "VARCHAR",
    "data_version": "VARCHAR",
    "error_ratio": "DOUBLE",
}
_PLACEBO = {
    "as_of_date": "DATE",
    "placebo_kind": "VARCHAR",
    "channel_id": "VARCHAR",
    "estimand": "VARCHAR",
    "estimate": "DOUBLE",
    "standard_error": "DOUBLE",
    "p_value": "DOUBLE",
    "replicates_count": "BIGINT",
    "passed": "BOOLEAN",
    "reason": "VARCHAR",
    "data_version": "VARCHAR",
    "actual_estimate": "DOUBLE",
    "false_positive_rate": "DOUBLE",
    "false_positive_rate_lower": "DOUBLE",
    "false_positive_rate_upper": "DOUBLE",
    "smallest_detectable_effect": "DOUBLE",
    "model_version": "VARCHAR",
}
#: What follows the mean in tables of the response model.
_INTERVAL = {
    "interval_lower": "DOUBLE",
    "interval_upper": "DOUBLE",
    "interval_level": "DOUBLE",
    "unit": "VARCHAR",
    "kpi": "VARCHAR",
    "is_identified": "BOOLEAN",
    "not_identified_reason": "VARCHAR",
    "model_name": "VARCHAR",
    "model_version": "VARCHAR",
    "data_version": "VARCHAR",
}
_EFFECT_KEY = {"as_of_date": "DATE", "channel_id": "VARCHAR"}

#: Table -> column -> DuckDB type. The dbt source of the artefacts has these columns and no others.
ARTEFACT_SCHEMAS: dict[str, dict[str, str]] = {
    "channel_effects": {**_EFFECT_KEY, **_EFFECT_VALUES, "robustness_value": "DOUBLE"},
    "market_channel_effects": {**_EFFECT_KEY, "market_id": "VARCHAR", **_EFFECT_VALUES},
    "segment_channel_effects": {
        **_EFFECT_KEY,
        "segment_name": "VARCHAR",
        "segment_value": "VARCHAR",
        "consumers_count": "BIGINT",
        **_EFFECT_VALUES,
    },
    "consumer_channel_effects": {
        **_EFFECT_KEY,
        "consumer_id": "VARCHAR",
        "learned_share": "DOUBLE",
        **_EFFECT_VALUES,
    },
    "placebo_results": _PLACEBO,
    "placebo_refits": _PLACEBO,
    "robustness_checks": {
        "as_of_date": "DATE",
        "specification_kind": "VARCHAR",
        "specification": "VARCHAR",
        "channel_id": "VARCHAR",
        "estimand": "VARCHAR",
        "mean": "DOUBLE",
        "standard_deviation": "DOUBLE",
        "interval_lower": "DOUBLE",
        "interval_upper": "DOUBLE",
        "interval_level": "DOUBLE",
        "unit": "VARCHAR",
        "difference": "DOUBLE",
        "chance_standard_deviation": "DOUBLE",
        "sign_holds": "BOOLEAN",
        "order_holds": "BOOLEAN",
        "interval_holds_baseline": "BOOLEAN",
        "k_hat": "DOUBLE",
        "reason": "VARCHAR",
        "model_name": "VARCHAR",
        "model_version": "VARCHAR",
        "data_version": "VARCHAR",
    },
    "model_comparison": {
        "as_of_date": "DATE",
        "split_kind": "VARCHAR",
        "split": "VARCHAR",
        "method": "VARCHAR",
        "metric": "VARCHAR",
        "value": "DOUBLE",
        "unit": "VARCHAR",
        "variant": "VARCHAR",
        "standard_error": "DOUBLE",
        "effective_parameters": "DOUBLE",
        "unreliable_share": "DOUBLE",
        "reason": "VARCHAR",
        "model_name": "VARCHAR",
        "model_version": "VARCHAR",
        "data_version": "VARCHAR",
    },
    "refresh_stability": {
        "as_of_date": "DATE",
        "previous_as_of_date": "DATE",
        "channel_id": "VARCHAR",
        "estimand": "VARCHAR",
        "exposure_distribution": "VARCHAR",
        "overlap": "DOUBLE",
        "change_total": "DOUBLE",
        "change_new_data": "DOUBLE",
        "change_revised_data": "DOUBLE",
        "change_model": "DOUBLE",
        "change_monte_carlo": "DOUBLE",
        "chance_standard_deviation": "DOUBLE",
        "monte_carlo_error": "DOUBLE",
        "reason": "VARCHAR",
        "model_name": "VARCHAR",
        "model_version": "VARCHAR",
        "data_version": "VARCHAR",
    },
    "causal_graph_edges": {
        "as_of_date": "DATE",
        "market_id": "VARCHAR",
        "source_id": "VARCHAR",
        "target_id": "VARCHAR",
        "method": "VARCHAR",
        "edge_probability": "DOUBLE",
        "lag": "DOUBLE",
        "sign": "DOUBLE",
        "selection_frequency": "DOUBLE",
        "structure": "BIGINT",
        "model_name": "VARCHAR",
        "model_version": "VARCHAR",
        "data_version": "VARCHAR",
    },
    "response_curves": {
        "as_of_date": "DATE",
        "channel_id": "VARCHAR",
        "market_id": "VARCHAR",
        "multiple": "DOUBLE",
        "spend_amount": "DOUBLE",
        "intensity": "DOUBLE",
        "mean": "DOUBLE",
        **_INTERVAL,
    },
    "channel_contributions": {
        "as_of_date": "DATE",
        "period_start_date": "DATE",
        "market_id": "VARCHAR",
        "component": "VARCHAR",
        "channel_id": "VARCHAR",
        "mean": "DOUBLE",
        **_INTERVAL,
    },
    "family_status": {
        "as_of_date": "DATE",
        "family": "VARCHAR",
        "status": "VARCHAR",
        "reason": "VARCHAR",
        "rows_count": "BIGINT",
        "data_version": "VARCHAR",
    },
    "champions": {
        "as_of_date": "DATE",
        "model_name": "VARCHAR",
        "model_version": "VARCHAR",
        "decision": "VARCHAR",
        "decided_reason": "VARCHAR",
    },
    "gate_checks": {
        "as_of_date": "DATE",
        "model_name": "VARCHAR",
        "model_version": "VARCHAR",
        "check_name": "VARCHAR",
        "outcome": "VARCHAR",
        "value": "DOUBLE",
        "threshold": "DOUBLE",
        "text": "VARCHAR",
    },
}

EFFECT_TABLES = (
    "channel_effects",
    "market_channel_effects",
    "segment_channel_effects",
    "consumer_channel_effects",
)
_FAMILY_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


class ArtefactError(ValueError):
    """A table does not have the shape that the schema registry promises to dbt."""


def artefact_path(artefacts_dir: Path, table: str, family: str, as_of_date: date) -> Path:
    """Where the rows of one family and as-of date lie."""
    _require_table(table)
    if not _FAMILY_NAME.match(family):
        raise ArtefactError(
            f"family {family!r} is not a name in lower case with underscores; it becomes a folder "
            "(family=<name>), so pass a name such as 'hbmmm' or 'within_consumer'."
        )
    folder = artefacts_dir / table / f"family={family}" / f"as_of_date={as_of_date.isoformat()}"
    return folder / "part.parquet"


def write_schema_files(artefacts_dir: Path) -> None:
    """Write the empty typed file of every table, so that dbt's globs always match something."""
    for table in ARTEFACT_SCHEMAS:
        _write_parquet(arrow_schema(table).empty_table(), artefacts_dir / table / "_schema" / "part.parquet")


def write_artefact(
    artefacts_dir: Path, table: str, family: str, as_of_date: date, frame: "pd.DataFrame | None"
) -> Path:
    """Write one family's rows of a registered table; ``None`` or no rows leaves an empty typed file.

    ``as_of_date`` is filled in where the frame lacks it. Columns the frame lacks are NULL; columns that the
    registry does not know are an error, since dbt would never see them. Rows are sorted by every text column.
    """
    path = artefact_path(artefacts_dir, table, family, as_of_date)
    _write_parquet(to_arrow(table, frame, as_of_date), path)
    return path


def to_arrow(table: str, frame: "pd.DataFrame | None", as_of_date: date) -> "pa.Table":
    """The frame under the registered schema of ``table``: column order, types, deterministic row order."""
    import pyarrow as pa

    schema = arrow_schema(table)
    if frame is None or frame.empty:
        return schema.empty_table()
    known = set(schema.names)
    unknown = sorted(set(frame.columns) - known)
    if unknown:
        raise ArtefactError(
            f"{table} got the columns {unknown}, which its schema does not have (it has {schema.names}); "
            "dbt would drop them in silence. Rename them, or add them to ARTEFACT_SCHEMAS and to the "
            "reporting model."
        )
    frame = frame.copy()
    if "as_of_date" in known:
        frame["as_of_date"] = as_of_date
    for name in schema.names:
        if name not in frame.columns:
            frame[name] = None
    sort_columns = [name for name, kind in ARTEFACT_SCHEMAS[table].items() if kind == "VARCHAR"]
    frame = frame.sort_values(sort_columns, kind="stable", na_position="first", key=_as_text)
    try:
        return pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ArtefactError(
            f"{table} has a value that does not fit its registered type ({error}); the reporting contract "
            "would break. Convert the column before it is written."
        ) from error


def read_artefact(artefacts_dir: Path, table: str, family: str, as_of_date: date) -> "pd.DataFrame":
    """One family's rows as a frame; a missing file is an empty frame with the right columns."""
    import pyarrow.parquet as pq

    path = artefact_path(artefacts_dir, table, family, as_of_date)
    if not path.exists():
        return arrow_schema(table).empty_table().to_pandas()
    return pq.ParquetFile(path).read().to_pandas()


def arrow_schema(table: str) -> "pa.Schema":
    """The registered columns of a table as an Arrow schema."""
    import pyarrow as pa

    kinds = {
        "VARCHAR": pa.string(),
        "DOUBLE": pa.float64(),
        "BIGINT": pa.int64(),
        "BOOLEAN": pa.bool_(),
        "DATE": pa.date32(),
    }
    return pa.schema([(name, kinds[kind]) for name, kind in _require_table(table).items()])


def write_frame(path: Path, frame: "pd.DataFrame") -> Path:
    """Write a working table (one that dbt does not read) atomically, types inferred."""
    import pyarrow as pa

    return _write_parquet(pa.Table.from_pandas(frame, preserve_index=False), path)


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write JSON atomically, keys sorted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True, default=_json_value), encoding="utf-8")
    temporary.replace(path)
    return path


def content_hash(paths: Iterable[Path], *, excluded_columns: Iterable[str] = ()) -> dict[str, str]:
    """Hash of the rows of each Parquet file, whatever their order, row groups or compression.

    Per file: the number of rows, the columns with their types, and the sum over rows of the 128-bit MD5
    of the row as text, computed in an in-memory DuckDB. Equal hashes mean equal multisets of rows (up to
    MD5 collisions).
    """
    import duckdb

    hashes: dict[str, str] = {}
    with duckdb.connect() as connection:
        for path in sorted(paths):
            relation = connection.read_parquet(str(path), hive_partitioning=False)
            skipped = set(excluded_columns)
            columns = [
                (name, str(kind))
                for name, kind in zip(relation.columns, relation.types, strict=True)
                if name not in skipped
            ]
            row = ", ".join(f"{_quoted(name)} := {_quoted(name)}" for name, _ in columns) or "empty := 0"
            text = f"struct_pack({row})::varchar"
            count, low, high = relation.aggregate(
                f"count(*), coalesce(sum(md5_number_lower({text})::hugeint), 0)::varchar, "
                f"coalesce(sum(md5_number_upper({text})::hugeint), 0)::varchar"
            ).fetchall()[0]
            digest = hashlib.sha256(json.dumps([columns, count, low, high]).encode())
            hashes[str(path)] = digest.hexdigest()[:16]
    return hashes


def combined_hash(parts: Mapping[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of a mapping written as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=_json_value).encode()).hexdigest()[:16]


def _require_table(table: str) -> dict[str, str]:
    if table not in ARTEFACT_SCHEMAS:
        raise ArtefactError(
            f"{table!r} is no artefact table; the registry has {sorted(ARTEFACT_SCHEMAS)}. Add it to "
            "ARTEFACT_SCHEMAS in orchestration/resources/artefacts.py first; the dbt source follows it."
        )
    return ARTEFACT_SCHEMAS[table]


def _write_parquet(table: "pa.Table", path: Path) -> Path:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pq.write_table(table, temporary)
    temporary.replace(path)
    return path


def _as_text(column: "pd.Series") -> "pd.Series":
    return column.map(lambda value: "" if value is None or value != value else str(value))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _json_value(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON; convert it first.")
