"""How well GMV of the simulated funnel shops can be forecast at all: the oracle error, before forecasters are tuned.

Beside it what needs no fit: the mean of the last week and the same weekday of the last week.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, make_command, provenance

DRAWS = 400
METHODS = ("oracle", "mean of the last week", "same weekday of the last week")


def measure(seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """By method and horizon: squared error of one world's GMV, standardised per shop."""
    from models.simulate.funnel_oracle import noise_floor
    from models.simulate.funnel_shops import OUTCOME
    from models.simulate.shop_studies import FUNNEL_KIND as kind

    funnel = kind.draw(seed)
    gmv = funnel.panel.values[:, :, OUTCOME]
    scale = gmv[:, : kind.test_origins[0]].std(axis=1)[:, None]
    longest = max(kind.horizons)
    errors = {method: [] for method in METHODS[1:]}
    for origin in kind.test_origins:
        week = gmv[:, origin - 7 : origin]
        truth = gmv[:, origin : origin + longest]
        errors[METHODS[1]].append(((truth - week.mean(axis=1, keepdims=True)) / scale) ** 2)
        errors[METHODS[2]].append(((truth - week[:, np.arange(longest) % 7]) / scale) ** 2)
    floor = noise_floor(
        funnel, kind.horizons, kind.test_origins, np.random.default_rng([seed, DRAWS]), draws_count=DRAWS
    )
    found = {METHODS[0]: {str(horizon): figures for horizon, figures in floor.items()}}
    for method, squared in errors.items():
        by_step = np.mean(squared, axis=(0, 1))
        found[method] = {
            str(m): {
                "mse_mean": float(by_step[:m].mean()),
                "mse_sum": float(by_step[:m].sum()),
                "mse_last": float(by_step[m - 1]),
            }
            for m in kind.horizons
        }
    return found


def main() -> None:
    """Measure the worlds, write causalmmm_floor.json and causalmmm_floor.md."""
    from models.simulate.shop_studies import FUNNEL_KIND as kind

    parser = argparse.ArgumentParser(description="noise floor of the simulated funnel shops")
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", default="docs/studies")
    arguments, _ = parser.parse_known_args()  # other parts of study-causalmmm take more
    begun = time.perf_counter()
    seeds = kind.seeds(arguments.worlds)
    jobs = {job_key(("funnel", seed)): (seed,) for seed in seeds}
    path = FOLDER / f"causalmmm_floor-{fingerprint(measure)}.jsonl"
    found = run_jobs(path, jobs, measure, arguments.processes)
    rows = []
    for method in METHODS:
        for horizon in kind.horizons:
            for figure in ("mse_mean", "mse_sum", "mse_last"):
                values = [one[method][str(horizon)][figure] for one in found.values()]
                rows.append(
                    {
                        "method": method,
                        "horizon": horizon,
                        "figure": figure,
                        "mean": float(np.mean(values)),
                        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                    }
                )
    content = {
        "command": make_command("study-causalmmm PARTS=floor"),
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
        "seeds": seeds,
        "test_origins": kind.test_origins,
        "draws": DRAWS,
        "table": rows,
    }
    folder = ROOT / arguments.output
    (folder / "causalmmm_floor.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = page(content)
    (folder / "causalmmm_floor.md").write_text(text, encoding="utf-8")
    print(text)


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    where, rows = content["provenance"], content["table"]
    horizons = list(dict.fromkeys(row["horizon"] for row in rows))
    lines = [
        "# What can be forecast of the simulated funnel shops",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}; {len(content['seeds'])} worlds of "
        "`models.simulate.shop_studies.FUNNEL_KIND`.",
        "",
        "Simulated data shaped like AirMMM (50 shops, 676 days); no AirMMM data are in them. Squared error of GMV, "
        "standardised per shop by the sd before the first test origin, mean over shops and "
        f"{len(content['test_origins'])} origins; mean and sd over worlds. The oracle knows everything but the shocks "
        "still to come: no forecaster can be expected to do better.",
        "",
        "| method | " + " | ".join(f"M={m}: mean over M | sum over M" for m in horizons) + " |",
        "|---" * (1 + 2 * len(horizons)) + "|",
    ]
    for method in METHODS:
        cells = []
        for horizon in horizons:
            for figure in ("mse_mean", "mse_sum"):
                row = next(
                    r for r in rows if (r["method"], r["horizon"], r["figure"]) == (method, horizon, figure)
                )
                cells.append(f"{row['mean']:.3f}" + (f" +- {row['sd']:.3f}" if row["sd"] is not None else ""))
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
