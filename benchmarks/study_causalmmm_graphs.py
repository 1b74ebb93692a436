"""Causal graphs of simulated shops: Tables 3 to 6 and Figure 4 of Gong et al. (WSDM 2024), and harder worlds."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from benchmarks.causalmmm_graph_methods import METHODS, PAPER, measure
from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, make_command, provenance

#: Title -> kinds of models.simulate.shop_studies.SHOPS_KINDS.
TABLES = {
    "Table 3: the two simulations": ("sim1", "sim2"),
    "Table 4: channels (Simulation 2)": ("sim2_d5", "sim2", "sim2_d20"),
    "Table 5: periods (Simulation 2)": ("sim2_T30", "sim2", "sim2_T720"),
    "Table 6: structures (Simulation 2)": ("sim2", "sim2_R10", "sim2_R20"),
    "Figure 4: shops (Simulation 2)": ("sim2_N10", "sim2_N25", "sim2_N50", "sim2", "sim2_N200", "sim2_N400"),
    "Difficulty dial (Simulation 1)": ("sim1", "sim1_sd30", "sim1_sd20", "sim1_sd10"),
    "Other worlds": ("sim1_pair", "sim2_pair", "sim1_fixed", "sim1_decay", "sim1_cyclic", "sim1_dense"),
    "Told another lag order than 7": ("sim1_K5", "sim1", "sim1_K10"),
    "Shops that were not fitted on": ("sim2_unseen",),
}
SCORES = ("auroc_pooled", "auroc_per_shop", "accuracy", "all_absent", "brier", "calibration_error")


def main() -> None:
    """Measure what was asked for, write causalmmm_graphs.json and causalmmm_graphs.md."""
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
        for seed in SHOPS_KINDS[kind].seeds(arguments.worlds)
    }
    found = run_jobs(
        FOLDER / f"causalmmm_graphs-{fingerprint(measure)}.jsonl", jobs, measure, arguments.processes
    )
    rows = summary(jobs, found)
    content = {
        "command": make_command("study-causalmmm PARTS=graphs"),
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
        "worlds": arguments.worlds,
        "seeds": {kind: SHOPS_KINDS[kind].seeds(arguments.worlds) for kind in arguments.kinds},
        "kinds": {kind: SHOPS_KINDS[kind].description for kind in arguments.kinds},
        "paper": PAPER,
        "table": rows,
        "reliability": calibration(jobs, found),
    }
    folder = ROOT / arguments.output
    (folder / "causalmmm_graphs.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = page(content)
    (folder / "causalmmm_graphs.md").write_text(text, encoding="utf-8")
    print(text)


def summary(jobs: dict[str, tuple], found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per kind and method: mean and sd over worlds of every figure; `refused` where none was measured."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for key, (kind, _, method) in jobs.items():
        groups.setdefault((kind, method), []).append(found[key])
    rows = []
    for (kind, method), results in groups.items():
        done = [one for one in results if "scores" in one]
        row: dict[str, Any] = {"kind": kind, "method": method, "worlds": len(done)}
        if len(done) < len(results):
            row["refused"] = next(one["refused"] for one in results if "refused" in one)
        figures = [_figures(one) for one in done]
        for name in figures[0] if figures else ():
            values = np.array([one[name] for one in figures], dtype=float)
            row[name] = {
                "mean": _number(values.mean()),
                "sd": _number(values.std(ddof=1)) if len(values) > 1 else None,
            }
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


def calibration(jobs: dict[str, tuple], found: dict[str, Any]) -> list[dict[str, float]]:
    """The classical level's reliability over all worlds of all kinds together."""
    bins: dict[float, np.ndarray] = {}
    for key, (_, _, method) in jobs.items():
        if method == "classical":
            for row in found[key]["reliability"]:
                count = row["pairs_count"]
                sums = np.array([row["stated"] * count, row["observed"] * count, count])
                bins[row["lowest"]] = bins.get(row["lowest"], 0) + sums
    return [
        {"lowest": lowest, "stated": s / n, "observed": o / n, "pairs_count": n}
        for lowest, (s, o, n) in sorted(bins.items())
    ]


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    where = content["provenance"]
    rows = {(row["kind"], row["method"]): row for row in content["table"]}
    lines = [
        "# Causal graphs of simulated shops",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores; {content['worlds']} worlds "
        "a kind, seeds of `models.simulate.shop_studies`.",
        "",
        "All data are simulated, noise independent for each shop and node, weights drawn for each shop unless said. "
        "Scored are all pairs of different nodes, the outcome's among them. Mean and sd over worlds; ACC is of each "
        "method's own decisions (probability above one half, p < .01), none tuned on graphs, and AUROC is pooled over "
        "shops. Paper: ACC / AUROC as printed there (its worlds are not public). Edges are predictive (Granger).",
        "",
    ]
    shown: set[str] = set()
    for title, kinds in TABLES.items():
        measured = [kind for kind in kinds if any(key[0] == kind for key in rows)]
        if measured:
            lines += [f"## {title}", ""]
        for kind in measured:
            lines += (
                [f"{content['kinds'][kind]}: above.", ""]
                if kind in shown
                else _kind_table(kind, content, rows)
            )
            shown.add(kind)
    return "\n".join(lines + _calibration_table(content["reliability"])) + "\n"


def _kind_table(kind: str, content: dict[str, Any], rows: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    paper = content["paper"].get(kind, {})
    lines = [f"{content['kinds'][kind]}.", ""]
    lines += ["| method | AUROC | per shop | ACC | all absent | ECE | seconds | paper |", "|---" * 8 + "|"]
    for method, label in METHODS.items():
        row = rows.get((kind, method))
        if row is None:
            continue
        printed = _paper(paper.get(method))
        if not row["worlds"]:
            lines.append(f"| {label} | does not run: too few rows | | | | | | {printed} |")
            continue
        cells = [_cell(row[name]) for name in ("auroc_pooled", "auroc_per_shop", "accuracy")]
        cells += [
            _cell(row["all_absent"], sd=False),
            _cell(row["calibration_error"]),
            _cell(row["seconds"], places=1),
        ]
        lines.append(f"| {label} | {' | '.join(cells)} | {printed} |")
    for name in ("CausalMMM", "InGRA"):
        if name in paper:
            lines.append(f"| {name} (paper only) | | | | | | | {_paper(paper[name])} |")
    classical = rows.get((kind, "classical"), {})
    if "adjusted_rand_index" in classical:
        same_lag = _cell(classical["lag_error_of_mean"], sd=False)
        lines += [
            "",
            "Classical level: the number of structures right in "
            f"{classical['structures_right']['mean']:.0%} of the worlds, adjusted Rand index "
            f"{_cell(classical['adjusted_rand_index'])}; mean lag missed by {_cell(classical['lag_error'])} periods "
            f"(one lag for all: {same_lag}), sign of the weights' sum right for "
            f"{_cell(classical['sign_agreement'])} of the edges.",
        ]
    if "unseen_auroc_pooled" in classical:
        lines += [
            "",
            f"Unseen shops, no refit: AUROC {_cell(classical['unseen_auroc_pooled'])}, ACC "
            f"{_cell(classical['unseen_accuracy'])}, ECE {_cell(classical['unseen_calibration_error'])}.",
        ]
    return [*lines, ""]


def _calibration_table(bins: list[dict[str, float]]) -> list[str]:
    if not bins:
        return []
    lines = ["## Calibration of the classical level, all worlds together", ""]
    lines += ["| stated probability | share of edges | pairs |", "|---|---|---|"]
    return lines + [f"| {b['stated']:.3f} | {b['observed']:.3f} | {b['pairs_count']:,.0f} |" for b in bins]


def _paper(pair: tuple[float, float] | None) -> str:
    return "" if pair is None else f"{pair[0]:.3f} / {pair[1]:.3f}"


def _cell(figure: dict[str, float | None], places: int = 3, sd: bool = True) -> str:
    if figure["mean"] is None:
        return "-"
    text = f"{figure['mean']:.{places}f}"
    return text + (f" +- {figure['sd']:.{places}f}" if sd and figure["sd"] is not None else "")


if __name__ == "__main__":
    main()
