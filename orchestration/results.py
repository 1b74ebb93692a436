"""What a run leaves for people to read: the effect table on the terminal, and hashes of the published tables."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets import keys
from orchestration.resources.artefacts import content_hash
from orchestration.resources.settings import CHECKOUT, Settings
from orchestration.resources.stores import masked

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

#: Columns that may differ between two runs on the same input: MLflow counts versions, landing has a clock.
DECLARED_COLUMNS = ("model_version", "landed_at", "landing_watermark")
_SHOWN_COLUMNS = ("channel", "estimand", "method", "mean", "interval", "unit", "identified?", "why not")


def reporting_dir(settings: Settings) -> Path:
    """Published tables as Parquet."""
    return settings.artefacts_dir / "reporting"


def table_hashes(settings: Settings) -> dict[str, str]:
    """Name of each published table -> hash of its rows without the declared columns."""
    paths = sorted(reporting_dir(settings).glob("*.parquet"))
    hashes = content_hash(paths, excluded_columns=DECLARED_COLUMNS)
    return {path.stem: hashes[str(path)] for path in paths}


def print_results(settings: Settings, console: "Console") -> None:
    """The effect table of the newest as-of date, what was not evaluated, and the champion."""
    import pyarrow.parquet as pq

    path = reporting_dir(settings) / "channel_effects.parquet"
    if not path.exists():
        console.print("[yellow]No reporting tables yet.[/]")
        return
    effects = pq.ParquetFile(path).read().to_pandas()
    if effects.empty:
        console.print("\n[yellow]channel_effects has no rows.[/]")
    else:
        newest = effects["as_of_date"].max()
        effects = effects[effects["as_of_date"] == newest]
        beside = effects["method"].isin(keys.SECOND_OPINION_METHODS)
        console.print(_effect_table(effects[~beside], newest))
        text = f"{beside.sum()} rows of second opinions stand beside them in channel_effects: "
        methods = ", ".join(sorted(effects.loc[beside, "method"].unique()))
        if methods:
            console.print(_plain(text + methods), highlight=False, soft_wrap=True)
    _print_status(settings, console)


def print_places(settings: Settings, console: "Console") -> None:
    """Where everything lies."""
    home = settings.home
    ui = "make ui" if home == CHECKOUT / ".mediamix" else f"make ui HOME_DIR={home}"
    places = {
        "published tables": f"{reporting_dir(settings)}/*.parquet, and schema reporting of the warehouse",
        "warehouse (DuckDB)": settings.warehouse_path,
        "marts": settings.marts_dir,
        "artefacts": settings.artefacts_dir,
        "refused rows": "schema quarantine of the warehouse, one table per input: row, row_number, reason",
        "report": f"{home / 'report' / 'index.html'} (open it in a browser)",
        "Dagster": f"{ui}, http://127.0.0.1:3000 (store: {masked(settings.dagster_storage_uri) or home / 'dagster'})",
        "MLflow": f"{ui}, http://127.0.0.1:5000 (store: {masked(settings.mlflow_tracking_uri)})",
    }
    console.print()
    for name, place in places.items():
        console.print(f"  [bold]{name:<20}[/]{place}", highlight=False, soft_wrap=True)


def _effect_table(effects: "pd.DataFrame", as_of_date: object) -> object:
    from rich.table import Table

    levels = sorted(effects["interval_level"].dropna().unique())
    level = f"{100 * levels[0]:g} % " if len(levels) == 1 else ""
    table = Table(
        title=f"channel_effects as of {as_of_date:%Y-%m-%d}", title_justify="left", show_lines=False
    )
    for name in _SHOWN_COLUMNS:
        title = f"{level}interval" if name == "interval" else name
        table.add_column(title, justify="right" if name in ("mean", "interval") else "left", overflow="fold")
    order = ["estimand", "channel_id", "model_name", "method", "kpi", "horizon"]
    for row in effects.sort_values(["is_primary", *order], ascending=[False] + [True] * 6).itertuples():
        is_known = row.mean == row.mean
        mean = _number(row.mean) if is_known else "-"
        interval = f"{_number(row.interval_lower)} .. {_number(row.interval_upper)}" if is_known else "-"
        reason = "" if row.is_identified else _short(row.not_identified_reason)
        verdict = "[green]yes[/]" if row.is_identified else "[red]no[/]"
        style = "bold" if row.is_primary else ""
        cells = [_plain(cell) for cell in (row.channel_id, _estimand(row), row.method, mean, interval)]
        table.add_row(*cells, _plain(row.unit or ""), verdict, _plain(reason), style=style)
    return table


def _print_status(settings: Settings, console: "Console") -> None:
    import duckdb

    folder = settings.artefacts_dir
    with duckdb.connect() as connection:
        statuses = connection.execute(
            "select family, status, reason from read_parquet(?, hive_partitioning = false) "
            "where as_of_date = (select max(as_of_date) from read_parquet(?, hive_partitioning = false)) "
            "order by family",
            [str(folder / "family_status" / "**" / "*.parquet")] * 2,
        ).fetchall()
        champions = connection.execute(
            "select model_name, model_version, decision, decided_reason "
            "from read_parquet(?, hive_partitioning = false) qualify row_number() over "
            "(partition by model_name order by as_of_date desc) = 1 order by model_name",
            [str(folder / "champions" / "**" / "*.parquet")],
        ).fetchall()
        quality = connection.execute(
            "select reason_code, sum(rows_count)::bigint from read_parquet(?) group by all order by 2 desc, 1",
            [str(reporting_dir(settings) / "data_quality.parquet")],
        ).fetchall()
        hidden = connection.execute(
            "select segment_name, cells_count, consumers_least from read_parquet(?) "
            "qualify as_of_date = max(as_of_date) over () order by segment_name",
            [str(reporting_dir(settings) / "suppressed_segments.parquet")],
        ).fetchall()
    counts = ", ".join(f"{reason} {count:,}" for reason, count in quality)
    console.print(f"Landed rows: {counts or 'none'}", highlight=False, soft_wrap=True)
    if hidden:
        cells = _plain(", ".join(f"{name} {count}" for name, count, _ in hidden))
        text = f"Segments of fewer than {hidden[0][2]} consumers are not shown: {cells}"
        console.print(text, highlight=False, soft_wrap=True)
    for family, status, reason in statuses:
        if status != "evaluated":
            text = _plain(f"{family}: {status.replace('_', ' ')}: {reason}")
            console.print(f"[yellow]{text}[/]", soft_wrap=True)
    for model, version, decision, reason in champions:
        color = "green" if version else "yellow"
        text = _plain(f"gate of {model}: {decision}, champion version {version or 'none'} ({reason})")
        console.print(f"[{color}]{text}[/]", soft_wrap=True, highlight=False)


def hashes_as_json(settings: Settings) -> str:
    """Table hashes as one JSON object, sorted by table."""
    return json.dumps(table_hashes(settings), indent=1, sort_keys=True)


def _estimand(row: Any) -> str:
    """The estimand, with its exposure distribution where that is not the plain one."""
    distribution = str(row.exposure_distribution or "")
    return (
        f"{row.estimand} ({distribution.replace('_', ' ')})"
        if distribution == "exposure_weighted"
        else row.estimand
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _short(reason: object, most: int = 70) -> str:
    text = str(reason or "")
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."


def _plain(text: str) -> str:
    """Identifiers are data: a bracket in one is no markup."""
    from rich.markup import escape

    return escape(text)
