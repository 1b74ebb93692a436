"""Group reporting: the report, one self-contained page from the reporting tables."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets import keys
from assets.status import Refresh, load_refresh, read_parquet
from orchestration.resources.tracking import Tracking

if TYPE_CHECKING:
    import pandas as pd

    from models.report.page import ReportIdentity
    from models.report.tables import ReportTables

#: Tables that the page shows as they are; consumers' effects come as quantiles.
REPORT_TABLES = (
    "channel_effects",
    "market_channel_effects",
    "segment_channel_effects",
    "causal_graph_edges",
    "placebo_results",
    "robustness_checks",
    "model_comparison",
    "gate_checks",
    "family_status",
    "data_quality",
)
_REMEDY = "dbt exports it; materialise the assets of group reporting"
_QUANTILES = """
    select
        channel_id,
        any_value(unit) as unit,
        count(*) as consumers_count,
        quantile_cont(mean, 0.05) as q05,
        quantile_cont(mean, 0.25) as q25,
        quantile_cont(mean, 0.5) as q50,
        quantile_cont(mean, 0.75) as q75,
        quantile_cont(mean, 0.95) as q95,
        quantile_cont(learned_share, 0.5) as learned_q50,
        quantile_cont(learned_share, 0.95) as learned_q95
    from read_parquet(?)
    where is_primary and estimand = 'slope' and exposure_distribution = 'panel_rows' and horizon = 'immediate'
        and isfinite(mean) and as_of_date = (select max(as_of_date) from read_parquet(?))
    group by channel_id
    having count(*) >= ?
    order by channel_id
"""
_CONSUMERS_LEAST = 100  # fewer would make a quantile speak of a handful of people


@dg.asset(
    key=keys.REPORT,
    group_name=keys.REPORTING,
    kinds={"python", "html"},
    owners=list(keys.OWNERS),
    deps=[*(dg.AssetKey([keys.REPORTING, name]) for name in REPORT_TABLES), keys.CONSUMER_EFFECTS_REPORTED],
)
def report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What moved GMV, how sure and whether identified: one page to open in any browser, offline."""
    from models.report.health import judge
    from models.report.page import render_report

    refresh = load_refresh()
    tables = read_report_tables(refresh)
    page = render_report(tables, identity(refresh, tables))
    path = write_page(refresh.settings.home / "report" / "index.html", page)
    health = judge(tables.newest())
    log_report(refresh, path)
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(path),
            "bytes": len(page.encode()),
            "checks": health.summary,
            **{f"checks_{name}_count": count for name, count in health.counts.items()},
        }
    )


def read_report_tables(refresh: Refresh) -> "ReportTables":
    """The published tables; of consumers' effects only quantiles are read."""
    import duckdb

    from models.report.tables import ReportTables

    folder = refresh.artefacts_dir / "reporting"
    consumers = folder / "consumer_channel_effects.parquet"
    with duckdb.connect() as connection:
        quantiles = connection.execute(_QUANTILES, [str(consumers)] * 2 + [_CONSUMERS_LEAST]).df()
    read = {name: read_parquet(folder / f"{name}.parquet", _REMEDY) for name in REPORT_TABLES}
    return ReportTables(consumer_quantiles=quantiles, **read)


def identity(refresh: Refresh, tables: "ReportTables") -> "ReportIdentity":
    """Title, period and versions for the foot of the page."""
    from models import __version__
    from models.report.page import ReportIdentity

    newest = tables.newest()
    effects = newest.channel_effects
    named = effects[effects["model_version"].notna()][["model_name", "model_version"]].drop_duplicates()
    versions = {"mediamix": __version__}
    versions |= {str(name): f"version {version}" for name, version in named.itertuples(index=False)}
    versions |= {"data version": ", ".join(sorted(_texts(newest.channel_effects, "data_version"))) or "none"}
    return ReportIdentity(refresh.source_name.replace("_", " "), refresh.period, versions)


def write_page(path: Path, page: str) -> Path:
    """Replace the page as a whole: whoever has it open never sees half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page, encoding="utf-8")
    return temporary.replace(path)


def log_report(refresh: Refresh, path: Path) -> None:
    """Put the page beside the fits it speaks of in MLflow, where there are any."""
    from assets.hbmmm import read_fit_pointer
    from assets.response import read_response_pointer

    pointers = {
        keys.FAMILY_HBMMM: read_fit_pointer(refresh),
        keys.FAMILY_RESPONSE: read_response_pointer(refresh),
    }
    tracking = Tracking.from_settings(refresh.settings)
    for family, pointer in pointers.items():
        if pointer.get("run_id") is not None:
            with tracking.run(family, "report", run_id=pointer["run_id"]) as mlflow:
                mlflow.log_artifact(str(path), "report")


def _texts(table: "pd.DataFrame", column: str) -> set[str]:
    return {str(value) for value in table[column].dropna().unique()}
