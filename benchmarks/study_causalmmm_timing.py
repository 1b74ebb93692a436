"""Seconds and memory of graph fits by shops and periods (Figure 10 of Gong et al. 2024), and the largest panel.

Every fit is a child process that times itself, compilation and imports left out, and whose memory the parent watches.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.kept_rows import runs_lines, verdict_lines, with_kept_rows, write_study
from benchmarks.machine import ROOT
from benchmarks.tree_memory import TreeMemory

SHOPS_COUNTS, PERIODS_COUNTS = (25, 50, 100, 200, 400), (60, 120, 240, 480, 720)
USUAL = (50, 120)
LARGE = (1000, 676)
#: Level or baseline -> sizes at which it is timed; what the paper's Figure 10 has too is timed over shops.
OVER_PERIODS = ("classical", "mediamix", "pure ELBO")
METHODS = (*OVER_PERIODS, "paper", "granger_f_test", "granger_ridge", "ngc_cmlp", "gvar")
LARGE_METHODS = ("classical", "mediamix")
PICTURE = "causalmmm_timing.png"


def measure(method: str, shops: int, periods: int) -> dict[str, float]:
    """CPU and wall seconds of the fit alone, peak GiB of the child process, imports and panel included."""
    command = [sys.executable, "-m", "benchmarks.study_causalmmm_timing"]
    command += ["--child", method, str(shops), str(periods)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        with TreeMemory(child.pid, every_seconds=0.2) as memory:
            said, _ = child.communicate()
    if child.returncode:
        raise RuntimeError(
            f"timing {method} on {shops} shops x {periods} periods ended with {child.returncode}"
        )
    return json.loads(said.strip().splitlines()[-1]) | {"peak_gib": round(memory.peak_gib, 3)}


def fit_once(method: str, shops: int, periods: int) -> dict[str, float]:
    """What the child does: Simulation 1, or the funnel shops at the largest size, fitted once."""
    from benchmarks.causalmmm_graph_methods import baseline_of, compiled, fitted_level
    from models.simulate.funnel_config import FunnelConfig
    from models.simulate.funnel_shops import simulate_funnel_shops
    from models.simulate.shops import ShopsConfig, simulate_shops

    if (shops, periods) == LARGE:
        panel = simulate_funnel_shops(FunnelConfig(shops_count=shops, periods_count=periods), 1).panel
    else:
        panel = simulate_shops(ShopsConfig(shops_count=shops, periods_count=periods), 1).panel
    lags = 7
    is_level = method in (*OVER_PERIODS, "paper")
    compiled(panel, lags)
    if not is_level:
        baseline_of(method, lags)  # imports
    wall, cpu = time.perf_counter(), time.process_time()
    if is_level:
        is_large = (shops, periods) == LARGE
        cores = os.cpu_count() or 1
        fitted_level(method, lags, panel, threads=cores if is_large else 1, all_epochs=not is_large)
    else:
        baseline_of(method, lags).score_edges(panel)
    return {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}


def sizes_of(
    method: str, shops_counts: tuple[int, ...], periods_counts: tuple[int, ...]
) -> list[tuple[str, int, int]]:
    """(parameter, shops, periods) at which a method is timed; the usual size is a point of both lines."""
    found = [("shops", shops, USUAL[1]) for shops in shops_counts]
    if method in OVER_PERIODS:
        found += [("periods", USUAL[0], periods) for periods in periods_counts]
    return found


def main() -> None:
    """Measure what was asked for, one child at a time; write causalmmm_timing.json, .md and .png."""
    parser = argparse.ArgumentParser(description="seconds and memory of graph fits")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--shops", nargs="+", type=int, default=SHOPS_COUNTS)
    parser.add_argument("--periods", nargs="+", type=int, default=PERIODS_COUNTS)
    parser.add_argument(
        "--large", nargs="*", choices=LARGE_METHODS, default=LARGE_METHODS, help="at 1,000 x 676"
    )
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--output", default="docs/studies")
    arguments, _ = parser.parse_known_args()  # other parts of study-causalmmm take more
    if arguments.child:
        method, shops, periods = arguments.child
        print(json.dumps(fit_once(method, int(shops), int(periods))))
        return
    begun = time.perf_counter()
    points = [
        (method, *size)
        for method in arguments.methods
        for size in sizes_of(method, tuple(arguments.shops), tuple(arguments.periods))
    ]
    points += [(method, "large", *LARGE) for method in arguments.large]
    jobs = {job_key((method, n, t)): (method, n, t) for method, _, n, t in points}
    mark = fingerprint(measure)
    found = run_jobs(FOLDER / f"causalmmm_timing-{mark}.jsonl", jobs, measure, 1)
    rows = [
        {"method": method, "parameter": parameter, "shops": n, "periods": t, **found[job_key((method, n, t))]}
        for method, parameter, n, t in points
    ]
    path = ROOT / arguments.output / "causalmmm_timing.json"
    keys = ("method", "parameter", "shops", "periods")
    content = with_kept_rows(path, rows, keys, "study-causalmmm PARTS=timing", begun)
    content["verdicts"] = [one.as_dict() for one in verdicts(content["table"])]
    write_study(path, content, page(content), {PICTURE: picture(content["table"])})


def _lines(table: list[dict[str, Any]]) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """(method, shops or periods) -> [(size, CPU seconds)], sizes rising."""
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in table:
        if row["parameter"] != "large":
            line = lines.setdefault((row["method"], row["parameter"]), [])
            line.append((row[row["parameter"]], row["cpu_seconds"]))
    return {key: sorted(line) for key, line in lines.items()}


def verdicts(table: list[dict[str, Any]]) -> list[Any]:
    """Growth of our levels' seconds, and the largest panel."""
    from models.evaluation.graph_acceptance import growth, timing_verdicts

    lines = {key: line for key, line in _lines(table).items() if key[0] in OVER_PERIODS}
    powers = {key: growth(*zip(*line, strict=True)) for key, line in lines.items()}
    large = {row["method"]: row["wall_seconds"] for row in table if row["parameter"] == "large"}
    return timing_verdicts(powers, large)


def picture(table: list[dict[str, Any]]) -> bytes:
    """Figure 10."""
    from models.figures.graph_study import seconds_by_size

    rows = [
        {"method": method, "parameter": parameter, "size": size, "seconds": seconds}
        for (method, parameter), line in _lines(table).items()
        for size, seconds in line
    ]
    order = {"shops": 0, "periods": 1}
    return seconds_by_size(pd.DataFrame(sorted(rows, key=lambda row: order[row["parameter"]])))


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    lines = [
        "# Seconds and memory of graph fits",
        "",
        "Simulation 1 (d=10, R=5, K=7) by shops at T=120 and by periods at N=50, and simulated funnel shops (13 nodes) "
        "at 1,000 x 676. One thread, and networks trained for all their epochs (mediamix 200, paper 100); at the "
        "largest size a thread a core and the usual early stopping. Every fit is a process of its own that "
        "has compiled and imported before its clock starts. mediamix includes the classical evidence that it reads. "
        "Memory is the process's peak, imports and panel included. Wall seconds depend on the load, see the runs.",
        "",
        *verdict_lines(verdicts(content["table"])),
        "",
        f"![seconds by size]({PICTURE})",
        "",
        "| method | by | shops | periods | CPU s | wall s | peak GiB | run |",
        "|---" * 8 + "|",
    ]
    for row in content["table"]:
        lines.append(
            f"| {row['method']} | {row['parameter']} | {row['shops']} | {row['periods']} | {row['cpu_seconds']:.2f} | "
            f"{row['wall_seconds']:.2f} | {row['peak_gib']:.2f} | {row['run'] + 1} |"
        )
    return "\n".join([*lines, "", *runs_lines(content["runs"])]) + "\n"


if __name__ == "__main__":
    main()
