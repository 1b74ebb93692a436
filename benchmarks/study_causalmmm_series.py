"""Published series with known graphs through the same code: Lorenz-96, Lotka-Volterra, linear VAR, finance.

They are others' files without a licence to pass on: the folder that holds them is named on the command line. Each
folder of it is a set of FILE_x.parquet (periods x nodes) and FILE_edges.csv (source, target); a set's files are shops.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, make_command, provenance

#: Set -> lag order told to every method, AUROC of a lag-1 ridge on it (measured elsewhere, given with the files).
SETS = {
    "gvar_lorenz96": (3, 0.98),
    "gvar_lotka_volterra": (3, 0.82),
    "gvar_linear_var": (3, 1.00),
    "tcdf_finance": (3, 1.00),
}
METHODS = ("classical", "classical, shops alone", "granger_f_test", "granger_ridge", "sd_ratio", "all_absent")


def measure(folder: str, name: str, method: str) -> dict[str, Any]:
    """Scores of one method on one set, CPU seconds."""
    from benchmarks.causalmmm_graph_methods import baseline_of
    from models.causalmmm.classical import fit_classical
    from models.causalmmm.classical_config import ClassicalConfig
    from models.evaluation.graph_scores import score_probabilities, score_ranking

    panel, graph = read_set(Path(folder) / name)
    lags_count = SETS[name][0]
    begun = time.process_time()
    if method.startswith("classical"):
        config = ClassicalConfig(
            lags_count=lags_count, normal_scores="none", share_structures=method == "classical"
        )
        probability = fit_classical(panel, config).posterior.edge_probability
        scores = score_probabilities(probability, graph, panel.allowed)
    else:
        found = baseline_of(method, lags_count).score_edges(panel)
        scores = score_ranking(found.score, graph, panel.allowed, found.present)
    return {"scores": asdict(scores), "seconds": time.process_time() - begun}


def read_set(folder: Path):
    """The panel of all files of a folder, and their graphs (N, D, D); series are cut to the shortest."""
    from models.shops.panel import ShopPanel

    files = sorted(folder.glob("*_x.parquet"))
    if not files:
        raise FileNotFoundError(
            f"{folder} holds no *_x.parquet. Name the folder that holds the sets with --graphs."
        )
    tables = [pd.read_parquet(file) for file in files]
    nodes = [str(column) for column in tables[0].columns]
    periods = min(len(table) for table in tables)
    values = np.stack([table.to_numpy(dtype=float)[:periods] for table in tables])
    graph = np.zeros((len(files), len(nodes), len(nodes)), dtype=bool)
    for shop, file in enumerate(files):
        edges = pd.read_csv(file.with_name(file.name.replace("_x.parquet", "_edges.csv")), dtype=str)
        for source, target in zip(edges["source"], edges["target"], strict=True):
            graph[shop, nodes.index(source), nodes.index(target)] = source != target
    panel = ShopPanel(
        values=values,
        shop_ids=tuple(file.name.removesuffix("_x.parquet") for file in files),
        node_ids=tuple(nodes),
        outcome_id=nodes[-1],
        context=np.zeros((len(files), periods, 0)),
        context_ids=(),
        planned_ids=(),
        allowed=~np.eye(len(nodes), dtype=bool),
    )
    return panel, graph


def main() -> None:
    """Measure, write causalmmm_series.json and causalmmm_series.md."""
    parser = argparse.ArgumentParser(description="graphs of published series")
    parser.add_argument("--graphs", required=True, help="folder that holds the sets")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", default="docs/studies")
    arguments, _ = parser.parse_known_args()  # other parts of study-causalmmm take more
    begun = time.perf_counter()
    jobs = {job_key((s, m)): (arguments.graphs, s, m) for s in arguments.sets for m in METHODS}
    found = run_jobs(
        FOLDER / f"causalmmm_series-{fingerprint(measure)}.jsonl", jobs, measure, arguments.processes
    )
    command = make_command("study-causalmmm PARTS=series").replace(arguments.graphs, "FOLDER")
    content = {
        "command": command,
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
        "sets": {
            name: {"lags_count": SETS[name][0], "lag_1_ridge_auroc": SETS[name][1]} for name in arguments.sets
        },
        "table": [{"set": s, "method": m, **found[job_key((s, m))]} for s in arguments.sets for m in METHODS],
    }
    folder = ROOT / arguments.output
    (folder / "causalmmm_series.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = page(content)
    (folder / "causalmmm_series.md").write_text(text, encoding="utf-8")
    print(text)


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    where = content["provenance"]
    lines = [
        "# Published series with known graphs",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}.",
        "",
        "The published series are simulated too. Pairs of different nodes only; AUROC pooled over files. The lag-1 "
        "ridge stands for reference as given with the files, not measured here.",
        "",
        "| set | method | AUROC | ACC | all absent | ECE | CPU seconds | lag-1 ridge |",
        "|---" * 8 + "|",
    ]
    for row in content["table"]:
        scores = row["scores"]
        cells = [
            _number(scores[name]) for name in ("auroc_pooled", "accuracy", "all_absent", "calibration_error")
        ]
        ridge = content["sets"][row["set"]]["lag_1_ridge_auroc"]
        lines.append(
            f"| {row['set']} | {row['method']} | {' | '.join(cells)} | {row['seconds']:.1f} | {ridge:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


if __name__ == "__main__":
    main()
