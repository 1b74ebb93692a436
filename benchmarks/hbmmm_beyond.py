"""Beyond memory: millions of consumers on the same machine (`make bench-hbmmm PART=beyond`).

Rows are read by ranges of consumers, and only their Gram matrices stay (360 bytes a consumer). Global parameters are
sampled on all of them; market effects and consumer effects are then drawn by part, and each part's table is written
before the next begins. A size that fails is written down as such.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.hbmmm_page import number, write_section
from benchmarks.hbmmm_world import CORES, bench_config, bench_world, read_statistics, write_world
from benchmarks.machine import ROOT
from benchmarks.tree_memory import TreeMemory

SIZES = (1_000_000, 5_000_000)
MONTHS = 12
PART = 250_000  # consumers
WARM_UP = 2_000


def main() -> None:
    """Parse arguments; without --one, run every size in its own process and write its section of the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="consumers")
    parser.add_argument("--one", type=int, help="run this size here and print its figures as JSON")
    parser.add_argument("--part", type=int, default=PART, help="consumers of a part")
    parser.add_argument("--memory-gib", type=float, default=24.0, help="address space a run may take; 0: any")
    parser.add_argument("--minutes", type=float, default=60.0, help="a run is ended after so long")
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory(prefix="mediamix-bench-") as folder:
            measure(WARM_UP, WARM_UP // 2, Path(folder) / "warm")
            figures = measure(options.one, options.part, Path(folder) / "timed")
        print(json.dumps(figures))
        return
    for size in options.sizes:
        row = in_process(size, options)
        print(row, flush=True)
        write_section(f"beyond_{size}", row, "beyond")


def in_process(size: int, options: argparse.Namespace) -> dict[str, Any]:
    """One size in a process of its own, with limits of memory and time."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.hbmmm_beyond",
        "--one",
        str(size),
        "--part",
        str(options.part),
    ]
    begun = time.perf_counter()
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run,
        TreeMemory(run.pid) as memory,
    ):
        outcome = "done"
        while run.poll() is None:
            time.sleep(1.0)
            if 0 < options.memory_gib < memory.peak_gib:
                outcome = f"ended: over {options.memory_gib:g} GiB"
            elif time.perf_counter() - begun > 60.0 * options.minutes:
                outcome = f"ended: over {options.minutes:g} minutes"
            if outcome != "done":
                run.kill()
                break
        text = run.stdout.read() if run.stdout else ""
    spent = {"seconds": {"sql": None, "total": round(time.perf_counter() - begun, 1)}}
    if outcome == "done" and run.returncode:
        outcome = f"failed (exit code {run.returncode})"
    found = json.loads(text.strip().splitlines()[-1]) if outcome == "done" else spent
    empty = {"consumers": size, "rows": size * MONTHS, "raw_gib": None}
    return empty | found | {"outcome": outcome, "peak_memory_gib": round(memory.peak_gib, 2)}


def measure(size: int, part_size: int, folder: Path) -> dict[str, Any]:
    """Draw the world; then the clock: statistics, global parameters, market effects, consumer effects by part."""
    from models.hbmmm.characteristics import learn_characteristics, tidy_characteristics
    from models.hbmmm.consumers import market_draws_of_parts
    from models.hbmmm.design import build_design
    from models.hbmmm.fit import kept_draws_index
    from models.hbmmm.problem import build_problem
    from models.hbmmm.sampling import SamplingJob, sample_all

    world = bench_world(size, MONTHS)
    slopes, rows_count = write_world(world, folder)
    raw = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    say(f"{size:,} consumers, {rows_count:,} rows, {raw / 2**30:.2f} GiB")
    clock, seconds = time.perf_counter(), {}
    statistics, exposed, people = statistics_by_part(folder, size, part_size)
    seconds["sql"] = time.perf_counter() - clock
    say("statistics read")
    begun = time.perf_counter()
    config = bench_config("importance")
    frame = tidy_characteristics(people, statistics.consumer_ids)
    design = build_design(statistics, learn_characteristics(frame, config), config)
    job = SamplingJob(statistics, design, frame, config, config.seed)
    sample = sample_all([job], lambda text, share: say(f"{share:4.0%} {text}"))[0]
    seconds["sampling"] = time.perf_counter() - begun
    begun = time.perf_counter()
    kept = sample.draws.reshape(-1, sample.draws.shape[-1])[kept_draws_index(config, 1)]
    rng = np.random.default_rng([config.seed, 1])
    problems = (
        build_problem(statistics.subset(who), design, frame.iloc[who]) for who in parts_of(size, part_size)
    )
    markets = market_draws_of_parts(problems, kept, rng, CORES)
    seconds["markets"] = time.perf_counter() - begun
    begun = time.perf_counter()
    draws = np.zeros(0)
    for index, who in enumerate(parts_of(size, part_size)):
        found = effects_of_part(
            statistics.subset(who), exposed[who], frame.iloc[who], design, config, sample, markets, index
        )
        found.consumer.to_parquet(folder / f"consumer_effects__{index:05d}.parquet", index=False)
        is_slope = found.channel["estimand"].eq("slope") & found.channel["exposure_distribution"].eq(
            "panel_rows"
        )
        weighted = found.channel_draws[is_slope.to_numpy()].reshape(int(is_slope.sum()), -1)
        weighted = weighted * statistics.rows_count[who].sum()
        draws = draws + weighted if draws.size else weighted
        names = found.channel.loc[is_slope, "channel_id"].tolist()
        say(f"effects of {who[-1] + 1:,} consumers written")
    seconds["effects"] = time.perf_counter() - begun
    draws = draws / statistics.rows_count.sum()
    return {
        "consumers": size,
        "rows": rows_count,
        "part": part_size,
        "raw_gib": number(raw / 2**30),
        "seconds": {name: round(value, 1) for name, value in seconds.items()}
        | {"total": round(time.perf_counter() - clock, 1)},
        "k_hat": number(sample.k_hat),
        "importance_ess": number(sample.importance_ess),
        "evaluations": sample.evaluations_count,
        "slopes": {
            name: {
                "true_mean": number(truth),
                "mean": number(one.mean()),
                "interval": [number(q) for q in np.quantile(one, [0.025, 0.975])],
            }
            for name, one, truth in zip(names, draws, slopes.mean(axis=0), strict=True)
        },
        "seed": world.seed,
    }


def effects_of_part(
    statistics: Any,
    exposed: np.ndarray,
    frame: pd.DataFrame,
    design: Any,
    config: Any,
    sample: Any,
    markets: np.ndarray,
    index: int,
) -> Any:
    """Effect tables of some consumers, given the global draws and the markets' (S, J, r); noise of its own."""
    from models.hbmmm.effects import effects_of_statistics
    from models.hbmmm.exposure_weights import ExposureSums
    from models.hbmmm.fit import fit_of_samples

    seed = int(np.random.SeedSequence([config.seed, index]).generate_state(1)[0])
    fit = fit_of_samples(
        statistics, design, (frame,), replace(config, seed=seed), [sample], np.random.default_rng(seed), {},
        markets[None],
    )  # fmt: skip
    nothing = np.zeros_like(exposed)
    sums = ExposureSums(
        "log1p", statistics.packed[:, 0], statistics.packed[:, 1 : 1 + exposed.shape[1]], nothing, nothing, nothing,
        exposed,
    )  # fmt: skip
    return effects_of_statistics(fit, statistics, sums, frame)


def statistics_by_part(folder: Path, size: int, part_size: int) -> tuple[Any, np.ndarray, pd.DataFrame]:
    """Statistics of all consumers, put together from ranges of them; exposed rows (N, C); characteristics."""
    packed, exposed, parts = None, None, []
    for who in parts_of(size, part_size):
        part, sums, _ = read_statistics(folder, (f"c{who[0]:08d}", f"c{who[-1]:08d}"))
        if packed is None:
            packed = np.empty((size, part.packed.shape[1]))
            exposed = np.empty((size, sums.exposed.shape[1]))
        packed[who], exposed[who] = part.packed, sums.exposed
        parts.append(replace(part, packed=packed[who[0] : who[-1] + 1]))  # a view: the rows are kept once
    market_ids = np.unique(np.concatenate([part.market_ids for part in parts]))
    homes = [np.searchsorted(market_ids, part.market_ids)[part.market_index] for part in parts]
    statistics = replace(
        parts[0],
        consumer_ids=np.concatenate([part.consumer_ids for part in parts]),
        market_ids=market_ids,
        market_index=np.concatenate(homes),
        spend_stratum=np.concatenate([part.spend_stratum for part in parts]),
        rows_count=np.rint(packed[:, 0]).astype(np.int64),
        packed=packed,
    )
    people = pd.read_parquet(folder / "consumers.parquet").set_index("consumer_id")
    return statistics, exposed, people


def parts_of(size: int, part_size: int) -> Iterator[np.ndarray]:
    """Positions of the consumers of each part."""
    for start in range(0, size, part_size):
        yield np.arange(start, min(start + part_size, size))


def say(text: str) -> None:
    """Progress, with the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
