"""Training loss, held-out loss and AUROC over epochs of the trained levels: Figure 9 of Gong et al. (2024).

A training is interrupted every few epochs, scored with the weights of that moment, and resumed; a resumed training ends
where an uninterrupted one does (tests/library/test_causalmmm_network.py). Known graphs are read for the curve alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.kept_rows import runs_lines, with_kept_rows, write_study
from benchmarks.machine import ROOT

KIND = "sim1"
LEVELS = ("mediamix", "pure ELBO", "paper")
EVERY = 10
PICTURE = "causalmmm_training.png"


def measure(level: str, seed: int, every: int, epochs: int | None) -> list[dict[str, float | None]]:
    """Rows of one training: epoch, loss, holdout (None where not checked), auroc (None between interruptions)."""
    import torch

    from models.causalmmm.evidence import ClassicalEvidence
    from models.causalmmm.mediamix import fit_mediamix
    from models.causalmmm.mediamix_config import MediamixConfig
    from models.causalmmm.paper import fit_paper
    from models.causalmmm.paper_config import PaperConfig
    from models.evaluation.graph_scores import score_probabilities
    from models.simulate.shop_studies import SHOPS_KINDS

    torch.set_num_threads(1)
    world, _ = SHOPS_KINDS[KIND].draw(seed)
    panel = world.panel
    if level == "paper":
        config = PaperConfig()

        def train(folder: str, stop: int):
            return fit_paper(panel, config, folder=folder, stop_after=stop)
    else:
        config = MediamixConfig(encoder="evidence" if level == "mediamix" else "free")
        known = ClassicalEvidence.learn(panel, config.lags)(panel) if level == "mediamix" else None

        def train(folder: str, stop: int):
            evidence = None if known is None else (lambda _: known)
            return fit_mediamix(panel, config, evidence, folder=folder, stop_after=stop)

    auroc, history = {}, ()
    with tempfile.TemporaryDirectory() as folder:
        for stop in range(every, (epochs or config.training.epochs) + 1, every):
            fit = train(folder, stop)
            history = fit.history
            if len(history) < stop:
                break  # patience was out before, and the best weights are back: no point of the curve
            probability = fit.posterior.edge_probability
            auroc[stop] = score_probabilities(probability, world.graph, panel.allowed).auroc_pooled
    earliest = 1 if level == "paper" else config.lags  # periods that nothing predicts
    held_periods = round(config.training.holdout_share * (panel.periods_count - earliest))
    held_values = panel.shops_count * panel.nodes_count * held_periods
    return [
        {
            "epoch": row["epoch"],
            "loss": row["loss"],
            "holdout": None if row["holdout"] is None else row["holdout"] / held_values,
            "auroc": auroc.get(row["epoch"]),
        }
        for row in history
    ]


def main() -> None:
    """Measure what was asked for, write causalmmm_training.json, .md and .png."""
    from models.simulate.shop_studies import SHOPS_KINDS

    parser = argparse.ArgumentParser(description="training curves")
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=LEVELS)
    parser.add_argument("--every", type=int, default=EVERY, help="epochs between scores")
    parser.add_argument("--epochs", type=int, help="at most, in place of the level's own number")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", default="docs/studies")
    arguments, _ = parser.parse_known_args()  # other parts of study-causalmmm take more
    begun = time.perf_counter()
    jobs = {
        job_key((level, seed, arguments.every, arguments.epochs)): (
            level,
            seed,
            arguments.every,
            arguments.epochs,
        )
        for level in arguments.levels
        for seed in SHOPS_KINDS[KIND].seeds(arguments.worlds)
    }
    mark = fingerprint(measure)
    found = run_jobs(FOLDER / f"causalmmm_training-{mark}.jsonl", jobs, measure, arguments.processes)
    rows = []
    for level in arguments.levels:
        worlds = [found[key] for key, job in jobs.items() if job[0] == level]
        rows.append({"method": level, "worlds": len(worlds), "curve": mean_curve(worlds)})
    path = ROOT / arguments.output / "causalmmm_training.json"
    content = with_kept_rows(path, rows, ("method",), "study-causalmmm PARTS=training", begun)
    write_study(path, content, page(content), {PICTURE: picture(content["table"])})


def mean_curve(worlds: list[list[dict[str, float | None]]]) -> list[dict[str, float | None]]:
    """Means over the worlds whose training had not stopped before the epoch; `worlds` says over how many."""
    frame = pd.DataFrame([row for world in worlds for row in world]).astype(float)
    means = frame.groupby("epoch").mean().assign(worlds=frame.groupby("epoch").size())
    return [
        {name: None if np.isnan(value) else float(value) for name, value in row.items()}
        for row in means.reset_index().to_dict("records")
    ]


def picture(table: list[dict[str, Any]]) -> bytes:
    """Figure 9."""
    from models.figures.graph_study import training_curves

    rows = [{"method": row["method"], **point} for row in table for point in row["curve"]]
    return training_curves(pd.DataFrame(rows).astype({"holdout": float, "auroc": float}))


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    lines = [
        "# Training curves",
        "",
        "Simulation 1 (N=50, d=10, T=120, R=5, K=7), simulated; means over worlds. Loss: negative ELBO a training "
        "value; held-out loss: negative log likelihood a value of the last tenth of the periods; both without the "
        "normal density's constant. AUROC is that of the weights of the moment and was shown to nobody before.",
        "",
        f"![losses and AUROC by epoch]({PICTURE})",
        "",
        "| level | epoch | worlds | training loss | held-out loss | AUROC | run |",
        "|---" * 7 + "|",
    ]
    for row in content["table"]:
        scored = [point for point in row["curve"] if point["auroc"] is not None]
        for point in scored[:: max(1, len(scored) // 8)]:
            held = "-" if point["holdout"] is None else f"{point['holdout']:.3f}"
            lines.append(
                f"| {row['method']} | {point['epoch']:.0f} | {point['worlds']:.0f} | {point['loss']:.3f} | {held} | "
                f"{point['auroc']:.3f} | {row['run'] + 1} |"
            )
    return "\n".join([*lines, "", *runs_lines(content["runs"])]) + "\n"


if __name__ == "__main__":
    main()
