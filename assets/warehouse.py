"""Groups staging, intermediate, marts and reporting: the dbt project, in two steps around the fits.

Models that read what fits wrote (everything downstream of the source ``artefacts``) are built by the second
step, all others by the first. Both wait in the pool of the DuckDB file.
"""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, dbt_assets
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from assets import keys
from orchestration.resources.dbt import MediamixDbt, require_manifest
from orchestration.resources.settings import Settings, load_settings

PUBLISHED = "source:artefacts+"
_FOLDER_GROUPS = {
    "staging": keys.STAGING,
    "intermediate": keys.INTERMEDIATE,
    "quarantine": keys.INTERMEDIATE,
    "marts": keys.MARTS,
    "reporting": keys.REPORTING,
}


class MediamixTranslator(DagsterDbtTranslator):
    """How a dbt node looks in Dagster: one small method per decision."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Sources of artefacts are the Python assets that write them; others as dbt-dagster derives it."""
        if (
            dbt_resource_props["resource_type"] == "source"
            and dbt_resource_props["source_name"] == "artefacts"
        ):
            return keys.ARTEFACT_SOURCES[dbt_resource_props["name"]]
        return super().get_asset_key(dbt_resource_props)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The folder below models/; seeds are staging data."""
        if dbt_resource_props["resource_type"] == "source":
            return None
        if dbt_resource_props["resource_type"] != "model":
            return keys.STAGING
        return _FOLDER_GROUPS[dbt_resource_props["fqn"][1]]

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """One team owns the project."""
        return list(keys.OWNERS)

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The description from YAML, without the SQL that dagster-dbt would append."""
        return str(dbt_resource_props.get("description") or "")


TRANSLATOR = MediamixTranslator()


def dbt_arguments(settings: Settings) -> list[str]:
    """``dbt build`` with the variables of the settings; pure, so that it is tested without Dagster.

    Unit tests are about the code, not about the data: they run with the tests of the repository.
    """
    variables = json.dumps(settings.dbt_vars(), sort_keys=True)
    return ["build", "--exclude-resource-type", "unit_test", "--vars", variables]


def _build(context: dg.AssetExecutionContext, dbt: MediamixDbt, step: str) -> Iterator[Any]:
    settings = load_settings()
    os.environ["MEDIAMIX_HOME"] = str(settings.home)  # the profile and the sources read it
    # one folder for both steps and all runs: dbt then parses only what changed (8 s become 3 s)
    target = settings.home / "dbt" / "target"
    invocation = dbt.cli(dbt_arguments(settings), context=context, target_path=target)
    try:
        yield from invocation.stream()
    except DagsterDbtCliRuntimeError as error:
        # a lock or a full disk may pass; SQL and data that failed once fail again
        raise dg.Failure(
            description=f"dbt build failed in step {step}. Its log is {target / 'dbt.log'}. {error}",
            allow_retries="IO Error" in str(error),
        ) from error


def warehouse_assets() -> list[dg.AssetsDefinition]:
    """The two dbt steps; reads the manifest, so it raises ManifestError if that is absent or outdated."""
    manifest = require_manifest()
    retry = dg.RetryPolicy(max_retries=1, delay=5)

    @dbt_assets(
        manifest=manifest,
        name="warehouse",
        exclude=PUBLISHED,
        dagster_dbt_translator=TRANSLATOR,
        pool=keys.DUCKDB_POOL,
        retry_policy=retry,
    )
    def warehouse(context: dg.AssetExecutionContext, dbt: MediamixDbt) -> Iterator[Any]:
        yield from _build(context, dbt, "warehouse")

    @dbt_assets(
        manifest=manifest,
        name="reporting",
        select=PUBLISHED,
        dagster_dbt_translator=TRANSLATOR,
        pool=keys.DUCKDB_POOL,
        retry_policy=retry,
    )
    def reporting(context: dg.AssetExecutionContext, dbt: MediamixDbt) -> Iterator[Any]:
        yield from _build(context, dbt, "reporting")

    return [warehouse, reporting]
