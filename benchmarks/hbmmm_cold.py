"""The cold clock: what a user runs, from raw files in the contract's tables to published effects, with nothing warm.

`make bench-hbmmm PART=cold` writes the world as transactions, exposures, consumers and market covariates (before the
clock), then runs `orchestration.cli run` in an empty home with empty caches of compiled code. Afterwards the home is
asked what its gate decided: a run that published nothing is not done. `--from FOLDER` writes the row of a run that
`--keep FOLDER` left, from that home alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.cold_home import HomeRun, decision_of, last_run, outcome_text
from benchmarks.hbmmm_page import write_section
from benchmarks.hbmmm_world import bench_world
from benchmarks.machine import ROOT
from benchmarks.tree_memory import TreeMemory

SIZES = (5_000, 50_000, 500_000)
SHOWN_SHARE = 0.02  # steps that took less of the total are left to the JSON file


def main() -> None:
    """Each size in a folder of its own, which goes afterwards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="consumers")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it; must not exist")
    parser.add_argument("--from", type=Path, dest="kept", help="measure nothing: read what --keep left here")
    parser.add_argument("--peak-gib", type=float, help="with --from: peak memory, if somebody measured it")
    options = parser.parse_args()
    if options.peak_gib is not None and options.kept is None:
        parser.error("--peak-gib belongs to --from; a run that is measured here weighs its own memory")
    for size in options.sizes:
        if options.kept:
            row = read_kept(size, options.kept / str(size), options.peak_gib)
        else:
            with tempfile.TemporaryDirectory(prefix="mediamix-bench-") as scratch:
                row = measure(size, (options.keep or Path(scratch)) / str(size))
        print({name: value for name, value in row.items() if name != "all_steps"}, flush=True)
        write_section(f"cold_{size}", row, "cold")


def measure(size: int, folder: Path) -> dict[str, Any]:
    """Write the raw tables, run, and read from the home what its steps took and its gate decided."""
    rows = write_tables(bench_world(size), folder / "source")
    home, caches = folder / "home", folder / "caches"
    environment = os.environ | {
        "MEDIAMIX_HOME": str(home),
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "PYTENSOR_FLAGS": f"base_compiledir={caches / 'pytensor'}",
        "MPLCONFIGDIR": str(caches / "matplotlib"),
    }
    begun = time.time()
    prepare = [sys.executable, "-m", "orchestration.resources.dbt", "prepare", "--force"]
    subprocess.run(prepare, cwd=ROOT, env=environment, check=True)
    command = [sys.executable, "-m", "orchestration.cli", "run", "--home", str(home), "--period", "month"]
    command += ["--source", str(folder / "source")]
    parsed = time.time()
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process, TreeMemory(process.pid) as memory:
        code = process.wait()
    ended = time.time()
    try:
        run = last_run(home, ended)
    except FileNotFoundError:  # it failed before Dagster began
        run = HomeRun(False, "not begun", begun, ended, {})
    at_peak = [name for name, (start, stop) in run.steps.items() if start <= memory.peak_at <= stop]
    seconds = {"dbt parse": parsed - begun} | {
        name: stop - start for name, (start, stop) in run.steps.items()
    }
    return {
        **_size_of(size, rows),
        **_result(home, code == 0, f"exit code {code}"),
        "clock": "from the first command to its end",
        **_times(ended - begun, seconds),
        "peak_memory_gib": round(memory.peak_gib, 2),
        "steps_at_peak": at_peak,
    }


def read_kept(size: int, folder: Path, peak_gib: float | None) -> dict[str, Any]:
    """The row of a run that ended in `folder`: times from Dagster's event log, rows from the raw files."""
    import pyarrow.parquet as pq

    rows: dict[str, int] = {}
    for path in sorted((folder / "source").glob("*.parquet")):
        table = path.stem.split("__")[0]
        rows[table] = rows.get(table, 0) + pq.read_metadata(path).num_rows
    home = folder / "home"
    run = last_run(home)
    seconds = {name: stop - start for name, (start, stop) in run.steps.items()}
    return {
        **_size_of(size, rows),
        **_result(home, run.is_success, f"status {run.status}"),
        "clock": f"from the start ({datetime.fromtimestamp(run.start, UTC):%Y-%m-%d %H:%M} UTC) to the end of "
        "Dagster's run in a home that was kept, without the commands around it",
        **_times(run.end - run.start, seconds),
        "peak_memory_gib": peak_gib,
        "steps_at_peak": [],
    }


def _size_of(size: int, rows: dict[str, int]) -> dict[str, Any]:
    world = bench_world(size)
    return {
        "consumers": size,
        "consumer_months": world.periods_count * size,
        "raw_rows": sum(rows.values()),
        "rows_by_table": rows,
        "seed": world.seed,
    }


def _result(home: Path, is_success: bool, how: str) -> dict[str, Any]:
    decision = decision_of(home)
    outcome = outcome_text(is_success, decision)
    size = sum(p.stat().st_size for p in home.rglob("*") if p.is_file())
    return {
        "outcome": outcome if is_success else f"{outcome} ({how})",
        **decision,
        "home_gib": round(size / 2**30, 2),
    }


def _times(total: float, seconds: dict[str, float]) -> dict[str, Any]:
    rounded = {name: round(value, 1) for name, value in seconds.items()}
    return {
        "seconds_total": round(total, 1),
        "steps": {name: value for name, value in rounded.items() if value >= SHOWN_SHARE * total},
        "all_steps": rounded,
    }


def write_tables(world: Any, folder: Path) -> dict[str, int]:
    """The contract's tables; returns rows by table. A month's amount is one purchase; 0 or less is none.

    Purchases are dollars of log1p outcomes; a channel's exposures of a month are one row. Consumers are observed for
    all months.
    """
    from models.simulate import consumer_months as cm

    folder.mkdir(parents=True)
    starts = pd.date_range("2021-01-01", periods=world.periods_count + 1, freq="MS")
    moments = (starts[:-1] + pd.Timedelta(days=14, hours=12)).to_numpy()
    rows = {"transactions": 0, "exposures": 0, "consumers": 0}
    for part, chunk in enumerate(cm.consumer_months(world)):
        ids = np.char.add("c", np.char.zfill(chunk.number.astype(str), 8))
        markets = np.char.add("m", np.char.zfill(chunk.market.astype(str), 3))
        when = moments[chunk.period]
        amount = np.round(np.expm1(chunk.outcome), 2)
        bought = amount > 0
        who = chunk.consumer[bought]
        numbers = np.char.add(
            "t", (chunk.number[who] * world.periods_count + chunk.period[bought]).astype(str)
        )
        transactions = pd.DataFrame(
            {
                "transaction_id": numbers,
                "consumer_id": ids[who],
                "market_id": markets[who],
                "occurred_at": when[bought],
                "gmv_amount": amount[bought],
                "currency_code": "USD",
            }
        )
        exposures = pd.concat(
            pd.DataFrame(
                {
                    "consumer_id": ids[chunk.consumer[seen]],
                    "channel_id": name,
                    "occurred_at": when[seen],
                    "exposures_count": chunk.exposures[seen, c].astype(np.int32),
                }
            )
            for c, name in enumerate(cm.CHANNEL_IDS)
            for seen in [chunk.exposures[:, c] > 0]
        )
        consumers = pd.DataFrame(
            {
                "consumer_id": ids,
                "market_id": markets,
                "first_seen_at": starts[0],
                "active_until": (starts[-1] - pd.Timedelta(days=1)).date(),
            }
        ).assign(**dict(zip(cm.CHARACTERISTICS, chunk.characteristics.T, strict=True)))
        tables = {"transactions": transactions, "exposures": exposures, "consumers": consumers}
        for name, table in tables.items():
            table.to_parquet(folder / f"{name}__{part:05d}.parquet", index=False)
            rows[name] += len(table)
    covariates = cm.market_truth(world).covariates
    market, period = np.divmod(np.arange(covariates.shape[0] * covariates.shape[1]), covariates.shape[1])
    table = pd.DataFrame(covariates.reshape(len(market), -1), columns=list(cm.COVARIATES))
    table.insert(0, "market_id", np.char.add("m", np.char.zfill(market.astype(str), 3)))
    table.insert(1, "period_start_date", starts[period].date)
    table.to_parquet(folder / "market_covariates.parquet", index=False)
    return rows | {"market_covariates": len(table)}


if __name__ == "__main__":
    main()
