"""How fast, how large: raw Parquet of consumer-months to effect tables, the paper's linear model (`make bench-hbmmm`).

Each size runs in a process of its own, after a small run that compiles the kernels. The clock is warm: SQL statistics,
inference, consumer effects, files written; drawing the world is not in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hbmmm_page import number, write_section
from benchmarks.hbmmm_world import bench_config, bench_world, read_statistics, write_world
from benchmarks.machine import ROOT, peak_memory_gib
from benchmarks.naive_rows import compare

SIZES = (5_000, 50_000, 500_000)
WARM_UP = 2_000


def main() -> None:
    """Parse arguments; without --one, run every size in its own process and write its section of the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="consumers")
    parser.add_argument("--inference", default="auto", choices=["auto", "nuts", "importance"])
    parser.add_argument("--one", type=int, help="run this size here and print its figures as JSON")
    parser.add_argument("--product", action="store_true", help="a second row with the product's settings")
    parser.add_argument("--one-product", action="store_true", help="with --one: at the product's settings")
    parser.add_argument(
        "--naive",
        type=int,
        nargs="*",
        default=[500],
        help="consumers of comparisons with naive PyMC; 0: none",
    )
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory(prefix="mediamix-bench-") as folder:
            config = bench_config(options.inference, is_product=options.one_product)
            measure(WARM_UP, Path(folder) / "warm", config, say=False)
            figures = measure(options.one, Path(folder) / "timed", config, say=True)
        print(json.dumps(figures))
        return
    for size in options.sizes:
        for suffix in ("", "_product") if options.product else ("",):
            command = [sys.executable, "-m", "benchmarks.hbmmm_warm", "--one", str(size)]
            command += ["--inference", options.inference, *(["--one-product"] if suffix else [])]
            run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            row = json.loads(run.stdout.strip().splitlines()[-1])
            print(row, flush=True)
            write_section(f"warm_{size}{suffix}", row, "warm")
    for size in filter(None, options.naive):
        with tempfile.TemporaryDirectory(prefix="mediamix-bench-") as folder:
            found = {"consumers": size, "methods": compare(size, Path(folder))}
        write_section(f"naive_{size}", found, "warm")


def measure(consumers_count: int, folder: Path, config: Any, *, say: bool) -> dict[str, Any]:
    """Draw a world of this size, time every step from its Parquet files to effect tables, compare with the truth."""
    from models.hbmmm.effects import effects_of_statistics
    from models.hbmmm.fit import fit_hbmmm

    def progress(text: str, share: float) -> None:
        if say:
            print(f"[{time.strftime('%H:%M:%S')}] {share:4.0%} {text}", file=sys.stderr, flush=True)

    world = bench_world(consumers_count)
    progress("drawing the world", 0.0)
    slopes, rows_count = write_world(world, folder)
    progress("SQL statistics", 0.0)
    clock, seconds = time.perf_counter(), {}
    statistics, sums, characteristics = read_statistics(folder)
    seconds["sql"] = time.perf_counter() - clock
    fit = fit_hbmmm(statistics, characteristics, config, progress)
    seconds |= fit.seconds
    begun = time.perf_counter()
    effects = effects_of_statistics(fit, statistics, sums, characteristics)
    for name in ("channel", "market", "segment", "consumer"):
        getattr(effects, name).to_parquet(folder / f"{name}_effects.parquet", index=False)
    seconds["effects"] = time.perf_counter() - begun
    total = time.perf_counter() - clock
    return {
        "consumers": consumers_count,
        "rows": rows_count,
        "effect_draws": config.effect_draws,
        "robust_errors": config.robust_errors,
        "method": str(fit.sampler["method"].iloc[0]),
        "seconds": {name: round(value, 1) for name, value in seconds.items()} | {"total": round(total, 1)},
        "peak_memory_gib": round(peak_memory_gib(), 2),
        "parameters": len(fit.parameter_names),
        "evaluations": int(fit.sampler["evaluations_count"].sum()),
        "k_hat": number(fit.k_hat),
        "importance_ess": number(fit.sampler["importance_ess"].sum(skipna=False)),
        "r_hat_max": number(fit.diagnostics["r_hat"].max()),
        "ess_bulk_min": number(fit.diagnostics["ess_bulk"].min()),
        "ess_tail_min": number(fit.diagnostics["ess_tail"].min()),
        "divergences": fit.divergences_count,
        "seed": world.seed,
        "recovery": recovery(effects, slopes),
    }


def recovery(effects: Any, slopes: np.ndarray) -> dict[str, Any]:
    """Slopes against the truth: mean over consumers and its interval by channel, coverage over consumers."""
    from models.simulate.consumer_months import CHANNEL_IDS

    out: dict[str, Any] = {}
    chosen = effects.consumer[effects.consumer["estimand"] == "slope"]
    channel = effects.channel.query("estimand == 'slope' and exposure_distribution == 'panel_rows'")
    for i, name in enumerate(CHANNEL_IDS):
        row = channel[channel["channel_id"] == name].iloc[0]
        mine = chosen[chosen["channel_id"] == name].sort_values("consumer_id")
        inside = (mine["interval_lower"] <= slopes[:, i]) & (slopes[:, i] <= mine["interval_upper"])
        out[name] = {
            "true_mean": number(slopes[:, i].mean()),
            "mean": number(row["mean"]),
            "interval": [number(row["interval_lower"]), number(row["interval_upper"])],
            "consumer_coverage": number(inside.mean()),
            "consumer_correlation": number(np.corrcoef(mine["mean"], slopes[:, i])[0, 1]),
            "learned_share": number(mine["learned_share"].mean()),
        }
    return out


if __name__ == "__main__":
    main()
