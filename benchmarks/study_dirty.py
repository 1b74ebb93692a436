"""Dirty data: every kind of bad row under its reason, and broken files refused whole (`make study-dirty`)."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.kept_rows import write_study
from benchmarks.machine import ROOT, make_command, provenance

SEED = 20261122


def main() -> None:
    """Measure, write dirty.json and dirty.md."""
    from benchmarks.dirty_home import classified
    from benchmarks.dirty_tables import as_csv, draw_tables
    from benchmarks.landing_fuzz import fuzz

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000, help="of every table")
    parser.add_argument("--minutes", type=float, default=10.0, help="of breaking files")
    parser.add_argument(
        "--output", default="docs/studies", help="folder of the page, from the repository's root"
    )
    arguments = parser.parse_args()
    begun = time.perf_counter()
    print(f"drawing {arguments.rows} rows of every table", flush=True)
    tables = draw_tables(arguments.rows, SEED)
    with tempfile.TemporaryDirectory() as folder:
        print("landing and classifying them", flush=True)
        expected, differences = classified(Path(folder), tables)
    kinds = {
        table: Counter(reason or "accepted" for reason in reasons) for table, reasons in expected.items()
    }
    print(f"{len(differences)} differences; breaking files for {arguments.minutes:g} minutes", flush=True)
    texts = {table: as_csv(rows[-40:]) for table, rows in tables.items()}
    with tempfile.TemporaryDirectory() as folder:
        fuzzed = fuzz(
            Path(folder) / "home", texts, 60 * arguments.minutes, SEED, lambda said: print(said, flush=True)
        )
    content: dict[str, Any] = {
        "command": make_command("study-dirty"),
        "provenance": provenance(),
        "seconds": round(time.perf_counter() - begun, 1),
        "seed": SEED,
        "rows": {table: len(rows) for table, rows in tables.items()},
        "kinds": {table: dict(sorted(counted.items())) for table, counted in kinds.items()},
        "differences": [vars(one) for one in differences],
        "fuzz": {
            "minutes": arguments.minutes,
            "files": fuzzed.files,
            "rows_landed": fuzzed.rows,
            "outcomes": dict(fuzzed.outcomes.most_common()),
            "differences": fuzzed.differences,
        },
    }
    write_study(ROOT / arguments.output / "dirty.json", content, page(content))
    if differences or fuzzed.differences:
        raise SystemExit(1)


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    where, kinds, fuzzed = content["provenance"], content["kinds"], content["fuzz"]
    reasons = sorted({reason for counted in kinds.values() for reason in counted if reason != "accepted"})
    bad = sum(
        number for counted in kinds.values() for reason, number in counted.items() if reason != "accepted"
    )
    faults = sum(len(counted) - ("accepted" in counted) for counted in kinds.values())
    lines = [
        "# Dirty data",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB, "
        f"{content['seconds']:.0f} s, seed {content['seed']}.",
        "",
        "## Rows",
        "",
        f"{sum(content['rows'].values()):,} rows of all {len(kinds)} tables, drawn by hypothesis: good ones in odd "
        "spellings, cells that are no value of their kind, values that a rule refuses, several faults in a row, "
        "copies, corrections, a second file. A judge written in Python, which shares nothing with the SQL, says what "
        "must become of each row; then the files are landed and dbt classifies them. Compared are the reason of every "
        "row, the counts, and every value of an accepted row.",
        "",
        f"**{len(content['differences'])} differences** in {faults} kinds of fault by table ({len(reasons)} reasons), "
        f"{bad:,} bad rows.",
        "",
        "| reason | " + " | ".join(kinds) + " |",
        "|---" * (1 + len(kinds)) + "|",
    ]
    for reason in ("accepted", *reasons):
        lines.append(
            f"| {reason} | " + " | ".join(str(counted.get(reason, "")) for counted in kinds.values()) + " |"
        )
    lines += [
        "",
        "## Files",
        "",
        f"{fuzzed['files']:,} files of every table, CSV and Parquet, with one to four changes each (bits, pieces put "
        f"in, cut out or doubled, ends missing), landed one by one for {fuzzed['minutes']:g} minutes in homes that "
        "hold the good files. CSV that lands must have the rows and texts that Python's own reader finds in it, "
        "Parquet the number of rows that pyarrow finds; what is refused must say why and leave nothing behind.",
        "",
        f"**{len(fuzzed['differences'])} differences**; {fuzzed['rows_landed']:,} rows landed.",
        "",
        "| outcome | files |",
        "|---|---|",
        *(f"| {name} | {number} |" for name, number in fuzzed["outcomes"].items()),
    ]
    for one in (*content["differences"], *({"text": said} for said in fuzzed["differences"])):
        lines.append(f"\nDifference: {one}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
