"""Graphs of the simulated funnel shops (AirMMM's shape), and one shop's graph drawn: Figure 6 of Gong et al. (2024)."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.causalmmm_graph_methods import METHODS, baseline_of
from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.kept_rows import runs_lines, with_kept_rows, write_study
from benchmarks.machine import ROOT

LAGS, SEASON, DRAWN_SHOP = 7, 7, 0
JUDGED = (
    "classical", "mediamix", "granger_bayes_factor", "granger_f_test", "granger_ridge", "ngc_cmlp", "gvar",
    "lag_correlation", "sd_ratio", "all_absent",
)  # fmt: skip
OURS = ("classical", "mediamix")
SCORES = ("auroc_pooled", "auroc_per_shop", "accuracy", "all_absent", "calibration_error")
PICTURE = "causalmmm_funnel_graph.png"


def measure(method: str, seed: int, periods: int | None) -> dict[str, Any]:
    """Scores on one world, shares of the funnel's edges found, CPU seconds, and the decided edges of one shop.

    Our levels work on normal scores or logarithms with the weekday taken out; baselines on the values as they are.
    """
    import torch

    from models.causalmmm.classical_config import ClassicalConfig
    from models.evaluation.graph_scores import score_probabilities, score_ranking
    from models.simulate.shop_studies import FUNNEL_KIND

    torch.set_num_threads(1)
    world = FUNNEL_KIND.draw(seed).world
    panel, graph = world.panel.periods(None, periods), world.graph
    begun = time.process_time()
    if method in OURS:
        config = ClassicalConfig(lags_count=LAGS, normal_scores="all", season_lengths=(SEASON,))
        posterior = _posterior(method, panel, config)
        strength = posterior.edge_probability
        scores, present = score_probabilities(strength, graph, panel.allowed), strength > 0.5
    else:
        try:
            found = baseline_of(method, LAGS).score_edges(panel)
        except ValueError as error:
            return {"refused": str(error)}
        present, strength = found.present, None
        scores = score_ranking(found.score, graph, panel.allowed, present)
    seconds = time.process_time() - begun
    edges = [] if present is None else _edges_of(present, strength, panel)
    return {
        "scores": asdict(scores),
        "seconds": seconds,
        "funnel": _funnel_shares(present, graph),
        "edges": edges,
    }


def _posterior(method: str, panel, config):
    from models.causalmmm.classical import fit_classical
    from models.causalmmm.evidence import ClassicalEvidence
    from models.causalmmm.mediamix import fit_mediamix
    from models.causalmmm.mediamix_config import MediamixConfig

    if method == "classical":
        return fit_classical(panel, config).posterior
    evidence = ClassicalEvidence.learn(panel, LAGS, config)
    settings = MediamixConfig(lags=LAGS, node_scale="log", outcome_scale="log", season=SEASON)
    return fit_mediamix(panel, settings, evidence).posterior


def _edges_of(present: np.ndarray, strength: np.ndarray | None, panel) -> list[list[Any]]:
    """[source, target, weight] of DRAWN_SHOP; the weight is the probability where there is one."""
    weight = present[DRAWN_SHOP] * (1.0 if strength is None else strength[DRAWN_SHOP]) * panel.allowed
    return [
        [panel.node_ids[i], panel.node_ids[j], round(float(weight[i, j]), 3)]
        for i, j in np.argwhere(weight > 0)
    ]


def _funnel_shares(present: np.ndarray | None, graph: np.ndarray) -> dict[str, float]:
    """Share of the true edges from brand channels to page views, and from those to effect channels, that is found."""
    from models.simulate.funnel_config import BRAND_IDS, EFFECT_IDS, NODE_IDS, VIEWS_ID

    if present is None:
        return {}
    at = NODE_IDS.index
    views, brands, effects = at(VIEWS_ID), [at(b) for b in BRAND_IDS], [at(e) for e in EFFECT_IDS]
    pairs = {"brand_to_views": (brands, [views]), "views_to_effect": ([views], effects)}
    return {
        name: float(present[:, sources][:, :, targets][graph[:, sources][:, :, targets]].mean())
        for name, (sources, targets) in pairs.items()
    }


def main() -> None:
    """Measure what was asked for, write causalmmm_funnel.json, .md and the picture."""
    from models.simulate.shop_studies import FUNNEL_KIND

    parser = argparse.ArgumentParser(description="graphs of simulated funnel shops")
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=JUDGED, default=JUDGED)
    parser.add_argument("--periods", type=int, help="the first so many alone")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", default="docs/studies")
    arguments, _ = parser.parse_known_args()  # other parts of study-causalmmm take more
    begun = time.perf_counter()
    jobs = {
        job_key((method, seed, arguments.periods)): (method, seed, arguments.periods)
        for method in arguments.methods
        for seed in FUNNEL_KIND.seeds(arguments.worlds)
    }
    mark = fingerprint(measure)
    found = run_jobs(FOLDER / f"causalmmm_funnel-{mark}.jsonl", jobs, measure, arguments.processes)
    rows = []
    for method in arguments.methods:
        row = summary(method, [found[key] for key, job in jobs.items() if job[0] == method])
        rows.append(row | {"days": arguments.periods or FUNNEL_KIND.config.periods_count})
    path = ROOT / arguments.output / "causalmmm_funnel.json"
    content = with_kept_rows(path, rows, ("method",), "study-causalmmm PARTS=funnel", begun)
    content["truth"] = true_edges(FUNNEL_KIND.seeds(1)[0])
    drawn = picture(content["table"], content["truth"])
    write_study(path, content, page(content, drawn is not None), {PICTURE: drawn} if drawn else {})


def true_edges(seed: int) -> list[list[Any]]:
    """Edges of DRAWN_SHOP in the world of this seed."""
    from models.simulate.shop_studies import FUNNEL_KIND

    world = FUNNEL_KIND.draw(seed).world
    return _edges_of(world.graph, None, world.panel)


def summary(method: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sd of every figure over worlds; edges of the first world's shop; `why` a world was refused."""
    done = [one for one in results if "scores" in one]
    row: dict[str, Any] = {"method": method, "worlds": len(done)}
    if len(done) < len(results):
        return row | {"why": next(one["refused"] for one in results if "refused" in one)}
    figures = [
        {n: one["scores"][n] for n in SCORES} | one["funnel"] | {"seconds": one["seconds"]} for one in done
    ]
    for name in figures[0]:
        values = np.array([one[name] for one in figures], dtype=float)
        unknown = np.isnan(values).any()
        row[name] = {
            "mean": None if unknown else float(values.mean()),
            "sd": None if unknown or len(values) < 2 else float(values.std(ddof=1)),
        }
    return row | {"edges": done[0]["edges"]}


def picture(table: list[dict[str, Any]], truth: list[list[Any]]) -> bytes | None:
    """Figure 6: the truth, the classical level, and the baseline of highest AUROC that decides; None without both."""
    from models.figures.funnel_graph import funnel_graph_figure
    from models.simulate.funnel_config import BRAND_IDS, EFFECT_IDS, OUTCOME_ID, VIEWS_ID

    rows = {row["method"]: row for row in table if row.get("edges")}
    rivals = [r for method, r in rows.items() if method not in OURS and r["auroc_pooled"]["mean"] is not None]
    if "classical" not in rows or not rivals:
        return None
    best = max(rivals, key=lambda row: row["auroc_pooled"]["mean"])
    shown = {"simulated truth": truth, "classical level": rows["classical"]["edges"]}
    shown[METHODS[best["method"]]] = best["edges"]
    columns = ["source_id", "target_id", "weight"]
    graphs = {title: pd.DataFrame(edges, columns=columns) for title, edges in shown.items()}
    return funnel_graph_figure(graphs, (BRAND_IDS, (VIEWS_ID,), EFFECT_IDS, (OUTCOME_ID,)), VIEWS_ID)


def page(content: dict[str, Any], is_drawn: bool) -> str:
    """The study for people."""
    lines = [
        "# Graphs of simulated funnel shops",
        "",
        "Simulated data shaped like AirMMM (50 shops, 676 days, 6 brand and 5 effect channels, PV, GMV); no AirMMM "
        "data are in them. All pairs that may be edges are scored (none starts at GMV); mean and sd over worlds. ACC "
        "is of each method's own decisions. The last columns are shares of the funnel's true edges that were found: "
        "brand channel to page views, page views to effect channel. Edges are predictive (Granger).",
        "",
        "| method | AUROC | per shop | ACC | all absent | ECE | CPU s | brand to PV | PV to effect | days | worlds "
        "| run |",
        "|---" * 12 + "|",
    ]
    for row in content["table"]:
        if "auroc_pooled" not in row:
            lines.append(f"| {METHODS[row['method']]} | does not run: {row['why']} | | | | | | | | | | |")
            continue
        cells = [_cell(row[name]) for name in (*SCORES, "seconds")]
        cells += [_cell(row.get(name, {"mean": None})) for name in ("brand_to_views", "views_to_effect")]
        lines.append(
            f"| {METHODS[row['method']]} | {' | '.join(cells)} | {row['days']} | {row['worlds']} | {row['run'] + 1} |"
        )
    if is_drawn:
        lines += [
            "",
            "One shop of the first world; red: brand channels to page views, orange: page views to effect channels.",
            "",
            f"![one shop's graph]({PICTURE})",
        ]
    return "\n".join([*lines, "", *runs_lines(content["runs"])]) + "\n"


def _cell(figure: dict[str, float | None]) -> str:
    if figure["mean"] is None:
        return "-"
    return f"{figure['mean']:.3f}" + ("" if figure.get("sd") is None else f" +- {figure['sd']:.3f}")


if __name__ == "__main__":
    main()
