"""The page and the pictures of study_causalmmm_graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.causalmmm_graph_methods import METHODS
from benchmarks.causalmmm_published import PAPER
from benchmarks.kept_rows import runs_lines, verdict_lines
from models.evaluation.graph_acceptance import calibration_error, graph_verdicts, summed_bins

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
STATING = ("classical", "mediamix", "pure ELBO", "paper")
SHOPS_PICTURE, RELIABILITY_PICTURE = "causalmmm_graphs_shops.png", "causalmmm_graphs_reliability.png"
Row = dict[str, Any]


def page(content: dict[str, Any]) -> str:
    """The study for people; content: runs, table and kinds (name -> description)."""
    rows = {(row["kind"], row["method"]): row for row in content["table"]}
    lines = [
        "# Causal graphs of simulated shops",
        "",
        "All data are simulated, noise independent for each shop and node, weights drawn for each shop unless said; "
        "worlds and seeds are those of `models.simulate.shop_studies`. Scored are all pairs of different nodes, the "
        "outcome's among them. Mean and sd over worlds; ACC is of each method's own decisions (probability above one "
        "half, p < .01), none tuned on graphs, and AUROC is pooled over shops. Seconds are CPU seconds of a fit, one "
        "thread. Paper: ACC / AUROC as printed there (its worlds are not public). Edges are predictive (Granger).",
        "",
        "## What has to hold",
        "",
        *verdict_lines(graph_verdicts(content["table"])),
        "",
    ]
    shown: set[str] = set()
    for title, kinds in TABLES.items():
        measured = [kind for kind in kinds if any(key[0] == kind for key in rows)]
        if measured:
            lines += [f"## {title}", ""]
        for kind in measured:
            described = content["kinds"][kind]
            lines += [f"{described}: above.", ""] if kind in shown else _kind_table(kind, described, rows)
            shown.add(kind)
        if title.startswith("Figure 4") and len(measured) > 1:
            lines += [f"![AUROC by shops]({SHOPS_PICTURE})", ""]
    lines += _calibration_lines(content["table"])
    return "\n".join([*lines, *runs_lines(content["runs"])]) + "\n"


def pictures(table: list[Row], shops_of_kind: dict[str, int]) -> dict[str, bytes]:
    """Figure 4 and reliability, as far as their rows are there. shops_of_kind: N of the kinds of Figure 4."""
    from models.figures.graph_study import auroc_by_shops, reliability_curve

    found = {}
    kinds = TABLES["Figure 4: shops (Simulation 2)"]
    points = [
        {"method": row["method"], "shops_count": shops_of_kind[row["kind"]], **row["auroc_pooled"]}
        for method in METHODS
        for row in table
        if row["kind"] in kinds and row["method"] == method and "auroc_pooled" in row
    ]
    if len({point["shops_count"] for point in points}) > 1:
        shown = [p for p in points if p["method"] not in ("all_absent", "CM-full")]
        found[SHOPS_PICTURE] = auroc_by_shops(pd.DataFrame(shown).astype({"mean": float, "sd": float}))
    bins = [
        {"method": method, **one}
        for method in STATING
        for one in summed_bins(row for row in table if row["method"] == method)
    ]
    if bins:
        found[RELIABILITY_PICTURE] = reliability_curve(pd.DataFrame(bins))
    return found


def _kind_table(kind: str, described: str, rows: dict[tuple[str, str], Row]) -> list[str]:
    paper = PAPER.get(kind, {})
    lines = [f"{described}.", ""]
    lines += [
        "| method | AUROC | per shop | ACC | all absent | ECE | seconds | paper | worlds | run |",
        "|---" * 10 + "|",
    ]
    for method, label in METHODS.items():
        row, printed = rows.get((kind, method)), _paper(paper.get(method))
        if row is None:
            if printed:
                lines.append(f"| {label} | not measured | | | | | | {printed} | | |")
            continue
        if not row["worlds"]:
            lines.append(
                f"| {label} | does not run: {row['why']} | | | | | | {printed} | 0 | {row['run'] + 1} |"
            )
            continue
        cells = [_cell(row[name]) for name in ("auroc_pooled", "auroc_per_shop", "accuracy")]
        cells += [_cell(row["all_absent"], sd=False), _cell(row["calibration_error"])]
        cells += [_cell(row["seconds"], places=1), printed, str(row["worlds"]), str(row["run"] + 1)]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    if "InGRA" in paper:
        lines.append(f"| InGRA (paper only) | | | | | | | {_paper(paper['InGRA'])} | | |")
    for method in ("classical", "mediamix"):
        lines += _about_level(METHODS[method], rows.get((kind, method), {}))
    return [*lines, ""]


def _about_level(label: str, row: Row) -> list[str]:
    lines = []
    if "adjusted_rand_index" in row:
        lines += [
            "",
            f"{label}: the number of structures right in {row['structures_right']['mean']:.0%} of the worlds, adjusted "
            f"Rand index {_cell(row['adjusted_rand_index'])}.",
        ]
    if row.get("lag_error", {}).get("mean") is not None:
        lines += [
            "",
            f"{label}: mean lag missed by {_cell(row['lag_error'])} periods (one lag for all: "
            f"{_cell(row['lag_error_of_mean'], sd=False)}), sign of the weights' sum right for "
            f"{_cell(row['sign_agreement'])} of the edges.",
        ]
    if "unseen_auroc_pooled" in row:
        lines += [
            "",
            f"{label}, unseen shops, no refit: AUROC {_cell(row['unseen_auroc_pooled'])}, ACC "
            f"{_cell(row['unseen_accuracy'])}, ECE {_cell(row['unseen_calibration_error'])}.",
        ]
    return lines


def _calibration_lines(table: list[Row]) -> list[str]:
    lines = ["## Calibration, all worlds of a method together", ""]
    for method in STATING:
        bins = summed_bins(row for row in table if row["method"] == method)
        if not bins:
            continue
        lines += [f"{METHODS[method]}: ECE {calibration_error(bins):.4f}.", ""]
        lines += ["| stated probability | share of edges | pairs |", "|---|---|---|"]
        lines += [f"| {b['stated']:.3f} | {b['observed']:.3f} | {b['pairs_count']:,.0f} |" for b in bins]
        lines.append("")
    return [*lines, f"![reliability]({RELIABILITY_PICTURE})", ""] if len(lines) > 2 else []


def _paper(pair: tuple[float, float] | None) -> str:
    return "" if pair is None else f"{pair[0]:.3f} / {pair[1]:.3f}"


def _cell(figure: dict[str, float | None], places: int = 3, sd: bool = True) -> str:
    if figure["mean"] is None or np.isnan(figure["mean"]):
        return "-"
    text = f"{figure['mean']:.{places}f}"
    return text + (f" +- {figure['sd']:.{places}f}" if sd and figure["sd"] is not None else "")
