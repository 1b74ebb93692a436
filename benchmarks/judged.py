"""One simulated world judged in a process of its own, as JSON, and back to tables: shared by the studies of worlds."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from typing import Any

import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs

# Short chains: about 600 draws in all, nearly independent in the Laplace metric; enough for a mean and an interval.
HBMMM_OPTIONS = {"chains": 2, "tune": 80, "draws": 150, "imputations_count": 2, "effect_draws": 400}


def judge(kind: str, seed: int, methods: dict[str, dict]) -> dict[str, Any]:
    """`score_levels` of one world, the errors that methods ended with, by name; CPU seconds of this process.

    A method that fails takes nobody with it; a world that cannot be drawn is lost to every method.
    """
    from models.errors import ConvergenceError, PanelError
    from models.evaluation.recovery import score_levels
    from models.simulate.study_worlds import WORLD_KINDS

    begun = time.process_time()
    levels: dict[str, pd.DataFrame] = {}
    errors: dict[str, str] = {}
    try:
        levels = score_levels(WORLD_KINDS[kind].config, seed, methods, errors)
    except (ConvergenceError, PanelError) as error:
        errors = dict.fromkeys(methods, f"{type(error).__name__}: {error}")
    tables = {
        name: {"columns": frame.columns.tolist(), "data": frame.to_numpy(dtype=object).tolist()}
        for name, frame in levels.items()
    }
    return {"levels": tables, "errors": errors, "seconds": time.process_time() - begun}


def judge_worlds(
    name: str, seeds: dict[str, tuple[int, ...]], methods: dict[str, dict[str, dict]], processes: int
) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, Any]]]:
    """All worlds of the kinds (kind -> seeds, kind -> methods), resumed where an earlier run stopped.

    Returns
    -------
    tables : level -> rows of all worlds, with the kind in column `world`
    runs : kind -> worlds asked for, finished (by every method), lost (how many by each method that lost one), errors
        by world and method, mean CPU seconds
    """
    from models.simulate.study_worlds import WORLD_KINDS

    jobs, files = {}, {}
    for kind, wanted in seeds.items():
        mark = fingerprint(judge, WORLD_KINDS[kind].config, sorted(methods[kind].items()))
        files[kind] = FOLDER / f"{name}-{kind}-{mark}.jsonl"
        jobs[kind] = {job_key((kind, seed)): (kind, seed, methods[kind]) for seed in wanted}
    parts: dict[str, list[pd.DataFrame]] = {}
    runs = {}
    for kind, wanted in jobs.items():
        found = run_jobs(files[kind], wanted, judge, processes)
        errors = {key: one["errors"] for key, one in found.items() if one["errors"]}
        for one in found.values():
            for level, table in one["levels"].items():
                parts.setdefault(level, []).append(pd.DataFrame(**table).assign(world=kind))
        runs[kind] = {
            "worlds": len(wanted),
            "finished": len(wanted) - len(errors),
            "lost": dict(Counter(method for one in errors.values() for method in one)),
            "errors": errors,
            "cpu_seconds_mean": sum(one["seconds"] for one in found.values()) / len(found),
        }
    tables = {
        level: pd.concat([f for f in frames if len(f)], ignore_index=True).infer_objects()
        for level, frames in parts.items()
        if any(len(f) for f in frames)
    }
    return tables, runs


def lost_text(run: dict[str, Any]) -> str:
    """For people: which method lost how many worlds, and the first error of each; empty where none did."""
    parts = []
    for method, count in run["lost"].items():
        world, error = next((k, one[method]) for k, one in run["errors"].items() if method in one)
        parts.append(f"{method} lost {count} of {run['worlds']} worlds (first: {world}: {error})")
    return "; ".join(parts)


def sampler_summary(fitted: pd.DataFrame) -> dict[str, float]:
    """Worst R-hat and bulk ESS of the effects over all fits (NaN where none is a chain), and fits with divergences."""
    return {
        "r_hat_max": float(fitted["r_hat"].max()),
        "ess_min": float(fitted["ess"].min()),
        "worlds_with_divergences": int(fitted.groupby("seed")["divergences_count"].first().gt(0).sum()),
    }


def sampler_text(summary: dict[str, float]) -> str:
    """That summary for people."""
    if summary["ess_min"] != summary["ess_min"]:
        return "no chains, so neither R-hat nor effective sizes"
    r_hat = f"largest R-hat of an effect {summary['r_hat_max']:.3f}, " if summary["r_hat_max"] > 0 else ""
    return (
        f"{r_hat}smallest effective size {summary['ess_min']:.0f}, divergences in "
        f"{summary['worlds_with_divergences']} fits"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How the HBMMM is fitted, how many processes, where the page goes."""
    parser.add_argument(
        "--inference", help="HBMMMConfig.inference of every fit; its own default if not given"
    )
    parser.add_argument(
        "--options", type=json.loads, default={}, help='further HBMMMConfig fields, {"draws": 300}'
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--output", default="docs/studies", help="folder of the page, from the repository's root"
    )


def hbmmm_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Short chains, as changed on the command line; refused here if HBMMMConfig would refuse them."""
    from models.hbmmm.config import HBMMMConfig

    chosen = HBMMM_OPTIONS | arguments.options
    if arguments.inference:
        chosen["inference"] = arguments.inference
    HBMMMConfig(**chosen)
    return chosen
