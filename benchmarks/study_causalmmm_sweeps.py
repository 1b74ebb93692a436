"""AUROC against lambda (weight of the edges' divergence) and tau (Gumbel temperature): Figure 7 of Gong et al. (2024).

Both levels whose graph comes from the ELBO alone are swept, from their usual settings; the evidence-fed level is not,
because its graph hardly rests on the ELBO. Lambda 1 is the ELBO of the whole series; the paper's scale of lambda is
another, its likelihood being divided by a fixed variance of 5e-7 in the published code.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.kept_rows import runs_lines, with_kept_rows, write_study
from benchmarks.machine import ROOT

KIND = "sim1"
LEVELS = ("pure ELBO", "paper")
SWEEPS = {"lambda": (0.1, 1.0, 10.0, 100.0, 1000.0), "tau": (0.1, 0.25, 0.5, 1.0, 2.0)}
FIELDS = {"lambda": "divergence_weight", "tau": "temperature"}
PICTURE = "causalmmm_sweeps.png"


def measure(level: str, parameter: str, value: float, seed: int) -> dict[str, float]:
    """AUROC, ACC and CPU seconds of one fit."""
    import torch

    from models.causalmmm.mediamix import fit_mediamix
    from models.causalmmm.mediamix_config import MediamixConfig
    from models.causalmmm.paper import fit_paper
    from models.causalmmm.paper_config import PaperConfig
    from models.evaluation.graph_scores import score_probabilities
    from models.simulate.shop_studies import SHOPS_KINDS

    torch.set_num_threads(1)
    world, _ = SHOPS_KINDS[KIND].draw(seed)
    changed = {FIELDS[parameter]: value}
    begun = time.process_time()
    if level == "paper":
        fit = fit_paper(world.panel, replace(PaperConfig(), **changed))
    else:
        fit = fit_mediamix(world.panel, replace(MediamixConfig(encoder="free"), **changed))
    seconds = time.process_time() - begun
    scores = score_probabilities(fit.posterior.edge_probability, world.graph, world.panel.allowed)
    return {"auroc": scores.auroc_pooled, "accuracy": scores.accuracy, "seconds": seconds}


def main() -> None:
    """Measure what was asked for, write causalmmm_sweeps.json, .md and .png."""
    from models.simulate.shop_studies import SHOPS_KINDS

    parser = argparse.ArgumentParser(description="lambda and tau")
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--parameters", nargs="+", choices=list(SWEEPS), default=list(SWEEPS))
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=LEVELS)
    parser.add_argument(
        "--values", nargs="+", type=float, help="of each parameter, in place of the usual ones"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", default="docs/studies")
    arguments, _ = parser.parse_known_args()  # other parts of study-causalmmm take more
    begun = time.perf_counter()
    jobs = {
        job_key((level, parameter, value, seed)): (level, parameter, value, seed)
        for level in arguments.levels
        for parameter in arguments.parameters
        for value in arguments.values or SWEEPS[parameter]
        for seed in SHOPS_KINDS[KIND].seeds(arguments.worlds)
    }
    mark = fingerprint(measure)
    found = run_jobs(FOLDER / f"causalmmm_sweeps-{mark}.jsonl", jobs, measure, arguments.processes)
    path = ROOT / arguments.output / "causalmmm_sweeps.json"
    keys = ("method", "parameter", "value")
    content = with_kept_rows(path, summary(jobs, found), keys, "study-causalmmm PARTS=sweeps", begun)
    write_study(path, content, page(content), {PICTURE: picture(content["table"])})


def summary(jobs: dict[str, tuple], found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a level, parameter and value: mean and sd of every figure over worlds."""
    groups: dict[tuple, list[dict[str, float]]] = {}
    for key, (level, parameter, value, _) in jobs.items():
        groups.setdefault((level, parameter, value), []).append(found[key])
    return [
        {"method": level, "parameter": parameter, "value": value, "worlds": len(results)}
        | {name: mean_and_sd([one[name] for one in results]) for name in results[0]}
        for (level, parameter, value), results in groups.items()
    ]


def mean_and_sd(values: list[float]) -> dict[str, float | None]:
    """Over worlds; sd None for one."""
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def picture(table: list[dict[str, Any]]) -> bytes:
    """Figure 7."""
    from models.figures.graph_study import auroc_by_setting

    rows = [{k: row[k] for k in ("method", "parameter", "value")} | row["auroc"] for row in table]
    return auroc_by_setting(pd.DataFrame(rows).astype({"sd": float}))


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    lines = [
        "# Weight of the divergence and temperature of the gates",
        "",
        "Simulation 1 (N=50, d=10, T=120, R=5, K=7), simulated; every other setting as usual. Mean and sd over worlds. "
        "Lambda 1 is the ELBO. Edges are predictive (Granger).",
        "",
        f"![AUROC by lambda and tau]({PICTURE})",
        "",
        "| level | parameter | value | AUROC | ACC | CPU seconds | worlds | run |",
        "|---" * 8 + "|",
    ]
    order = sorted(
        content["table"], key=lambda row: (row["parameter"], LEVELS.index(row["method"]), row["value"])
    )
    for row in order:
        figures = [f"{row[name]['mean']:.3f}{_sd(row[name]['sd'])}" for name in ("auroc", "accuracy")]
        lines.append(
            f"| {row['method']} | {row['parameter']} | {row['value']:g} | {' | '.join(figures)} | "
            f"{row['seconds']['mean']:.1f} | {row['worlds']} | {row['run'] + 1} |"
        )
    return "\n".join([*lines, "", *runs_lines(content["runs"])]) + "\n"


def _sd(value: float | None) -> str:
    return "" if value is None else f" +- {value:.3f}"


if __name__ == "__main__":
    main()
