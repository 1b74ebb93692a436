"""Causal graphs of simulated shops: Tables 3 to 6 and Figure 4 of Gong et al. (WSDM 2024), and harder worlds.

Measured piece by piece: rows of kinds and methods that are not asked for stay on the page as they are.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from benchmarks.causalmmm_graph_methods import METHODS, is_measured, measure
from benchmarks.causalmmm_graphs_page import page, pictures
from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.kept_rows import with_kept_rows, write_study
from benchmarks.machine import ROOT

SCORES = ("auroc_pooled", "auroc_per_shop", "accuracy", "all_absent", "brier", "calibration_error")


def main() -> None:
    """Measure what was asked for, write causalmmm_graphs.json, causalmmm_graphs.md and two pictures."""
    from models.evaluation.graph_acceptance import graph_verdicts
    from models.simulate.shop_studies import SHOPS_KINDS

    parser = argparse.ArgumentParser(description="graphs of simulated shops")
    parser.add_argument("--worlds", type=int, default=10, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=list(SHOPS_KINDS), default=list(SHOPS_KINDS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", default="docs/studies")
    arguments, _ = parser.parse_known_args()  # other parts of study-causalmmm take more
    begun = time.perf_counter()
    jobs = {
        job_key((kind, seed, method)): (kind, seed, method)
        for kind in arguments.kinds
        for method in arguments.methods
        if is_measured(kind, method)
        for seed in SHOPS_KINDS[kind].seeds(arguments.worlds)
    }
    found = run_jobs(
        FOLDER / f"causalmmm_graphs-{fingerprint(measure)}.jsonl", jobs, measure, arguments.processes
    )
    path = ROOT / arguments.output / "causalmmm_graphs.json"
    content = with_kept_rows(
        path, summary(jobs, found), ("kind", "method"), "study-causalmmm PARTS=graphs", begun
    )
    content["kinds"] = {name: kind.description for name, kind in SHOPS_KINDS.items()}
    content["verdicts"] = [one.as_dict() for one in graph_verdicts(content["table"])]
    shops = {name: kind.config.shops_count for name, kind in SHOPS_KINDS.items()}
    write_study(path, content, page(content), pictures(content["table"], shops))


def summary(jobs: dict[str, tuple], found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a kind and method: mean and sd of every figure, bins of reliability; `why` a world was refused."""
    from models.evaluation.graph_acceptance import summed_bins

    groups: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {}
    for key, (kind, seed, method) in jobs.items():
        groups.setdefault((kind, method), []).append((seed, found[key]))
    rows = []
    for (kind, method), results in groups.items():
        done = [one for _, one in results if "scores" in one]
        row: dict[str, Any] = {"kind": kind, "method": method, "worlds": len(done)}
        row["seeds"] = [seed for seed, _ in results]
        if len(done) < len(results):
            row["why"] = next(one["refused"] for _, one in results if "refused" in one)
        figures = [_figures(one) for one in done]
        for name in figures[0] if figures else ():
            values = np.array([one[name] for one in figures], dtype=float)
            row[name] = {
                "mean": _number(values.mean()),
                "sd": _number(values.std(ddof=1)) if len(values) > 1 else None,
            }
        row["reliability"] = summed_bins(done)
        rows.append(row)
    return rows


def _figures(result: dict[str, Any]) -> dict[str, float]:
    figures = {name: result["scores"][name] for name in SCORES} | {"seconds": result["seconds"]}
    figures |= result.get("edges", {})
    if "structures" in result:
        structures = result["structures"]
        figures["structures_right"] = float(structures["structures_found"] == structures["structures_true"])
        figures["adjusted_rand_index"] = structures["adjusted_rand_index"]
    return figures | {f"unseen_{name}": value for name, value in result.get("unseen", {}).items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


if __name__ == "__main__":
    main()
