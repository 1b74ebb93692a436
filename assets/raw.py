"""Group raw: the landed files of every source, and the manifest that says which of them count.

One step lands everything; the keys do not depend on the source, so the graph is the same for all of them.
"""

from collections.abc import Iterator

import dagster as dg

from assets import keys
from orchestration.resources.settings import load_settings


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
    from assets.landing import land
    from orchestration.resources.artefacts import write_schema_files

    settings = load_settings()
    for line in settings.describe():
        context.log.info(line)
    write_schema_files(settings.artefacts_dir)
    report = land(settings)
    for spec in RAW_SPECS:
        yield dg.MaterializeResult(asset_key=spec.key, metadata=_metadata(report, spec.key.path[-1]))


def _metadata(report: object, table: str) -> dict[str, object]:
    """Facts about one table of a LandingReport; tables of other sources hold none this time."""
    if table == "landing_manifest":
        return {"loads_new_count": len(report.loads_new), "loads_known_count": len(report.loads_known)}
    rows = dict(report.rows_per_table)
    new = [load for load in report.loads_new if load.table_name == table]
    return {"rows_count": rows.get(table, 0), "loads_new": [load.load_id for load in new]}
