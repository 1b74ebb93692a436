"""NUTS at scale: four chains over every global parameter, each kept as it ends (`make bench-hbmmm PART=nuts`).

Chains move in the variances alone (models/hbmmm/collapsed_sampler.py), as in production with so many consumers.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checkpoint import FOLDER, fingerprint, run_jobs
from benchmarks.hbmmm_page import number, write_section
from benchmarks.hbmmm_world import bench_config, bench_world, read_statistics, write_world
from benchmarks.machine import peak_memory_gib

SIZES = (5_000, 50_000, 500_000)
CHAINS, DRAWS = 4, 700


def main() -> None:
    """Run what is missing, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="consumers")
    parser.add_argument("--draws", type=int, default=DRAWS, help="kept draws of each of the four chains")
    parser.add_argument("--processes", type=int, default=1, help="chains at once; each holds its own data")
    options = parser.parse_args()
    for size in options.sizes:
        row = measure(size, options.draws, options.processes)
        print(row, flush=True)
        write_section(f"nuts_{size}", row, "nuts")


def measure(size: int, draws: int, processes: int) -> dict[str, Any]:
    """Mode and step size, then the chains that are not kept yet, then their diagnostics."""
    path = FOLDER / f"hbmmm_nuts_{size}_{fingerprint(chain, draws)}.jsonl"
    tuned = run_jobs(path, {"mode": (size, draws)}, tune, 1, say)["mode"]
    jobs = {f"chain {c}": (size, draws, tuned, c) for c in range(CHAINS)}
    return summary(size, draws, tuned, list(run_jobs(path, jobs, chain, processes, say).values()))


def tune(size: int, draws: int) -> dict[str, Any]:
    """The Laplace approximation and the step size, as lists."""
    begun = time.perf_counter()
    both, config = _both(size, draws)
    seconds_data = time.perf_counter() - begun
    laplace = both.laplace()
    of_variances = both.of_variances(laplace)
    seconds_gradient = _gradient_seconds(both.nuts, of_variances.mode)
    rng = np.random.default_rng([config.seed, 0])
    start = both.nuts.starts(of_variances, 1, rng)[0]
    return {
        "mode": laplace.mode.tolist(),
        "covariance": laplace.covariance.tolist(),
        "step_size": both.nuts.step_size(of_variances, start, rng),
        "seconds_data": seconds_data,
        "seconds": time.perf_counter() - begun - seconds_data,
        "seconds_gradient": seconds_gradient,
    }


def chain(size: int, draws: int, tuned: dict[str, Any], index: int) -> dict[str, Any]:
    """One chain, from a start and a seed of its own."""
    from models.hbmmm.laplace import Laplace
    from models.hbmmm.sampler import every_twentieth

    both, config = _both(size, draws)
    begun, spent = time.perf_counter(), time.process_time()
    both.nuts.report = every_twentieth(
        replace(config, chains=1), lambda text, share: say(f"{size:,} consumers, chain {index}: {share:4.0%}")
    )
    laplace = both.of_variances(Laplace(np.array(tuned["mode"]), np.array(tuned["covariance"])))
    rng = np.random.default_rng([config.seed, 1, index])
    found = both.nuts.chains(laplace, tuned["step_size"], both.nuts.starts(laplace, 1, rng), rng)
    draws_of_all = both.all_parameters(found.draws[0], rng)
    return {
        "draws": draws_of_all.tolist(),
        "energy": found.energy[0].tolist(),
        "accepted": float(found.accepted[0]),
        "divergences": found.divergences_count,
        "gradients": found.evaluations_count,
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - spent,
        "peak_memory_gib": peak_memory_gib(),
        "parameter_names": list(both.problem.parameter_names),
        "variances": both.dimension,
    }


def summary(size: int, draws: int, tuned: dict[str, Any], chains: list[dict[str, Any]]) -> dict[str, Any]:
    """Diagnostics over all global parameters, and what it took."""
    from models.checks.convergence import ConvergenceThresholds
    from models.hbmmm.diagnostics import e_bfmi, ess_bulk, ess_tail, r_hat

    values = np.array([c["draws"] for c in chains])
    bulk, tail, hat = ess_bulk(values), ess_tail(values), r_hat(values[None])
    names = chains[0]["parameter_names"]
    energy, divergences = (
        e_bfmi(np.array([c["energy"] for c in chains])),
        sum(c["divergences"] for c in chains),
    )
    moves = divergences == 0 and energy > ConvergenceThresholds().e_bfmi
    return {
        "consumers": size,
        "rows": bench_world(size).periods_count * size,
        "parameters": len(names),
        "chains": len(chains),
        "draws": draws,
        "variances": chains[0]["variances"],
        "step_size": number(tuned["step_size"]),
        "gradients": sum(c["gradients"] for c in chains),
        "accepted_least": number(min(c["accepted"] for c in chains)),
        "gradients_per_draw": number(sum(c["gradients"] for c in chains) / values[..., 0].size),
        "seconds_gradient": number(tuned["seconds_gradient"]),
        "seconds_mode_and_step": round(tuned["seconds"], 1),
        "seconds_chains": [round(c["seconds"], 1) for c in chains],
        "cpu_seconds_chains": [round(c["cpu_seconds"], 1) for c in chains],
        "seconds_total": round(tuned["seconds"] + sum(c["seconds"] for c in chains), 1),
        "peak_memory_gib": round(max(c["peak_memory_gib"] for c in chains), 2),
        "r_hat_max": number(hat.max()),
        "r_hat_worst": names[int(hat.argmax())],
        "ess_bulk_min": number(bulk.min()),
        "ess_bulk_worst": names[int(bulk.argmin())],
        "ess_tail_min": number(tail.min()),
        "ess_tail_worst": names[int(tail.argmin())],
        "e_bfmi": number(energy),
        "divergences": divergences,
        "passed": bool(moves and hat.max() < 1.01 and bulk.min() > 1000 and tail.min() > 1000),
        "seed": bench_world(size).seed,
        "parameters_table": [
            {
                "parameter": name,
                "mean": number(values[..., i].mean()),
                "sd": number(values[..., i].std()),
                "r_hat": number(hat[i]),
                "ess_bulk": number(bulk[i]),
                "ess_tail": number(tail[i]),
            }
            for i, name in enumerate(names)
        ],
    }


@functools.lru_cache(maxsize=1)
def _both(size: int, draws: int) -> tuple[Any, Any]:
    from models.hbmmm.characteristics import learn_characteristics, tidy_characteristics
    from models.hbmmm.collapsed_sampler import CollapsedNuts
    from models.hbmmm.design import build_design

    say(f"{size:,} consumers: drawing the world")
    with tempfile.TemporaryDirectory(prefix="mediamix-bench-") as folder:
        write_world(bench_world(size), Path(folder))
        statistics, _, people = read_statistics(Path(folder))
    config = replace(bench_config("nuts"), draws=draws, chains=CHAINS)
    frame = tidy_characteristics(people, statistics.consumer_ids)
    design = build_design(statistics, learn_characteristics(frame, config), config)
    return CollapsedNuts(statistics, design, frame, config), config


def _gradient_seconds(nuts: Any, point: np.ndarray) -> float:
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        nuts.value_and_gradient(point)
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


def say(text: str) -> None:
    """Progress, with the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
