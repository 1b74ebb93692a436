"""A home whose files are landed and classified by dbt, and where what became of its rows is not what the judge says."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from assets.landing.contract import CONTRACT
from assets.landing.land import land
from benchmarks.dirty_cells import MISSING
from benchmarks.dirty_judge import Row, judge
from benchmarks.dirty_tables import files_of
from benchmarks.machine import ROOT


@dataclass(frozen=True)
class Difference:
    """One row (or one value of an accepted row) that did not become what the contract says."""

    table: str
    row: int
    expected: str
    found: str
    text: str


def classified(
    folder: Path, tables: Mapping[str, Sequence[Row]]
) -> tuple[dict[str, list[str | None]], list[Difference]]:
    """Land the tables as files in `folder`, build what classifies them; the judge's reasons, and all differences.

    Raises subprocess.CalledProcessError, with dbt's words in `stdout`, where dbt fails.
    """
    from orchestration.resources.artefacts import write_schema_files
    from orchestration.resources.settings import Settings

    source, home = folder / "source", folder / "home"
    source.mkdir(parents=True)
    for name, text in files_of(tables).items():
        (source / f"{name}.csv").write_text(text, encoding="utf-8", newline="")
    settings = Settings(home=home, source=str(source), period="week", pre_periods_count=2)
    write_schema_files(settings.artefacts_dir)
    report = land(settings)
    landed_at = report.loads[0].landed_at
    folders = {
        "project-dir": ROOT / "dbt_project",
        "profiles-dir": ROOT / "dbt_project",
        "target-path": folder / "target",
    }
    command = [
        str(Path(sys.executable).with_name("dbt")),
        "--no-use-colors",
        "run",
        "--select",
        "+path:models/quarantine",
    ]
    command += [f"--{name}={path}" for name, path in (folders | {"log-path": folder / "logs"}).items()]
    command.append(f"--vars={json.dumps(settings.dbt_vars())}")
    environment = os.environ | {"MEDIAMIX_HOME": str(home), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=True)
    expected = judge(tables, landed_at)
    return expected, _differences(settings.warehouse_path, tables, expected)


def _differences(
    warehouse: Path, tables: Mapping[str, Sequence[Row]], expected: Mapping[str, Sequence[str | None]]
) -> list[Difference]:
    found: list[Difference] = []
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table, rows in tables.items():
            columns = [column.name for column in CONTRACT[table].columns]
            landed = connection.execute(
                f"SELECT reason_code, {', '.join(columns)} FROM intermediate.int_{table}_classified "
                "ORDER BY contains(file_name, '__late'), row_number"
            ).fetchall()
            (quarantined,) = connection.execute(
                f"SELECT count(*) FROM quarantine.quarantine_{table}"
            ).fetchone()
            if len(landed) != len(rows) or quarantined != sum(
                reason is not None for reason in expected[table]
            ):
                found.append(
                    Difference(
                        table,
                        -1,
                        f"{len(rows)} rows, {sum(r is not None for r in expected[table])} in quarantine",
                        f"{len(landed)} rows, {quarantined} in quarantine",
                        "",
                    )
                )
                continue
            for place, (row, reason, (code, *values)) in enumerate(
                zip(rows, expected[table], landed, strict=True)
            ):
                text = ", ".join(f"{name}={cell.text!r}" for name, cell in row.items())
                if code != reason:
                    found.append(Difference(table, place, reason or "accepted", code or "accepted", text))
                elif reason is None:
                    for name, value in zip(columns, values, strict=True):
                        cell = row.get(name)
                        wanted = None if cell is None or cell.state == MISSING else cell.value
                        if _plain(value) != _plain(wanted):
                            found.append(
                                Difference(table, place, f"{name}={wanted!r}", f"{name}={value!r}", text)
                            )
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.startswith("["):
        return tuple(json.loads(value))
    return value if not isinstance(value, dt.datetime) else value.replace(tzinfo=None)
