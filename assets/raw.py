"""Group raw: the landed files of every source, and the manifest that says which of them count.

One step lands everything; the keys do not depend on the source, so the graph is the same for all of them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from orchestration.resources.settings import load_settings

if TYPE_CHECKING:
    from assets.landing.land import LandingReport


def _spec(key: dg.AssetKey, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key, description=description, group_name=keys.RAW, kinds={"parquet"}, owners=list(keys.OWNERS)
    )


RAW_SPECS = [
    *(
        _spec(
            key, f"Landed rows of the contract table {key.path[-1]}, as text, with load, file and row number."
        )
        for key in keys.RAW_TABLES
    ),
    *(
        _spec(
            key,
            f"Landed rows of the Complete Journey table {key.path[-1].removeprefix('complete_journey_')}.",
        )
        for key in keys.RAW_COMPLETE_JOURNEY
    ),
    _spec(
        keys.LANDING_MANIFEST,
        "One row per load: hash, file, table, rows. A load absent from it does not exist.",
    ),
]


@dg.multi_asset(
    name="landed_files",
    specs=RAW_SPECS,
    retry_policy=dg.RetryPolicy(max_retries=1, delay=2),
)
def landed_files(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Land new files of the source into the home, once per content."""
    from assets.landing.land import LandingError, land
    from orchestration.resources.artefacts import write_schema_files

    settings = load_settings()
    context.log.info("settings:\n" + "\n".join(settings.describe()))
    write_schema_files(settings.artefacts_dir)
    try:
        report = land(settings)
    except LandingError as error:
        # a refused file stays refused: no retry
        raise dg.Failure(description=str(error), allow_retries=False) from error
    context.log.info("\n".join(report.lines()))
    facts = landing_facts(report)
    for spec in RAW_SPECS:
        yield dg.MaterializeResult(asset_key=spec.key, metadata=facts[spec.key])


def landing_facts(report: "LandingReport") -> dict[dg.AssetKey, dict[str, Any]]:
    """Metadata per raw asset; tables of the sources that this run did not land say so."""
    is_journey = report.source_name == "complete_journey"
    prefix = "complete_journey_" if is_journey else ""
    landed = set(keys.RAW_COMPLETE_JOURNEY if is_journey else keys.RAW_TABLES)
    facts: dict[dg.AssetKey, dict[str, Any]] = {}
    for spec in RAW_SPECS:
        if spec.key not in landed:
            facts[spec.key] = {"source": report.source_name, "note": "not a table of this source"}
            continue
        table = spec.key.path[-1].removeprefix(prefix)
        loads = [load for load in report.loads if load.table_name == table]
        facts[spec.key] = {
            "source": report.source_name,
            "dagster/row_count": report.rows_per_table.get(table, 0),
            "loads_new_count": sum(load.table_name == table for load in report.loads_new),
            "files_known_count": sum(known.table_name == table for known in report.loads_known),
            "load_ids": [load.load_id for load in loads],
            "columns": sorted({column for load in loads for column in load.columns}),
            "extra_columns": sorted({name for load in loads for name in load.extra_column_names}),
        }
    facts[keys.LANDING_MANIFEST] = {
        "source": report.source_name,
        "dagster/row_count": len(report.loads),
        "loads_new_count": len(report.loads_new),
        "files_known_count": len(report.loads_known),
        "files_ignored": [f"{item.file_name}: {item.reason}" for item in report.ignored],
        "landing_seconds": round(report.seconds, 2),
    }
    return facts
