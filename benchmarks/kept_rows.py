"""A study's rows stay when others are measured anew; each says which run it comes from.

A page is a JSON file of `runs` (command, provenance, seconds) and `table` (rows, with `run` as a place in `runs`), and
a Markdown file that is written from it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import make_command, provenance

Row = dict[str, Any]


def with_kept_rows(
    path: Path, rows: Sequence[Row], keys: Sequence[str], target: str, begun: float
) -> dict[str, Any]:
    """{"runs", "table"}: the file's rows, those of the same keys replaced by the new ones; unused runs go.

    target: of make, such as `study-causalmmm PARTS=graphs`. begun: time.perf_counter() of the start.
    """
    run = {
        "command": make_command(target),
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
    }
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    runs = [*old.get("runs", []), run]
    measured = {tuple(row[key] for key in keys) for row in rows}
    kept = [
        row
        for row in (old["table"] if "runs" in old else [])  # pages of before had one run for all
        if tuple(row[key] for key in keys) not in measured
    ]
    table = [*kept, *({**row, "run": len(runs) - 1} for row in rows)]
    used = sorted({row["run"] for row in table})
    return {
        "runs": [runs[number] for number in used],
        "table": [{**row, "run": used.index(row["run"])} for row in table],
    }


def runs_lines(runs: Sequence[dict[str, Any]]) -> list[str]:
    """The runs for people; numbers are those of the tables' last column."""
    lines = ["## Runs", "", "| run | command | date | commit | cores, load | minutes |", "|---" * 6 + "|"]
    for number, run in enumerate(runs, start=1):
        where = run["provenance"]
        commit = where["commit"][:10] + ("" if where["tree_is_clean"] else " with changes")
        lines.append(
            f"| {number} | `{run['command']}` | {where['date']} | {commit} | {where['cores']}, "
            f"{where['load_average']:.1f} | {run['seconds_of_this_run'] / 60:.1f} |"
        )
    return lines


def verdict_lines(verdicts: Sequence[Any]) -> list[str]:
    """Bounds and whether they hold, for people."""
    lines = ["| criterion | of | measured | bound | |", "|---" * 5 + "|"]
    words = {True: "holds", False: "**does not hold**", None: "not evaluated"}
    for one in verdicts:
        value = "-" if one.value != one.value else f"{one.value:.4g}"
        error = "" if one.monte_carlo_error != one.monte_carlo_error else f" +- {one.monte_carlo_error:.2g}"
        lines.append(
            f"| {one.criterion} | {one.subject} | {value}{error} | {one.bound} | {words[one.passed]} |"
        )
    return lines


def write_study(
    path: Path, content: dict[str, Any], page: str, pictures: dict[str, bytes] | None = None
) -> None:
    """The JSON file, the page beside it and pictures by file name, each written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1) + "\n"
    files = {path: text.encode(), path.with_suffix(".md"): page.encode()}
    files |= {path.parent / name: picture for name, picture in (pictures or {}).items()}
    for target, data in files.items():
        temporary = target.with_name(f".{target.name}.tmp")
        temporary.write_bytes(data)
        os.replace(temporary, target)
    print(page)
