"""What the study of the response model prints: tables of errors, coverage and chains (study_response.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def summary(found: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a kind, variant and method: worlds, error (and its standard error), coverage, by market, width."""
    rows = []
    for key in dict.fromkeys((one["kind"], one["variant"]) for one in found):
        chosen = [one for one in found if (one["kind"], one["variant"]) == key]
        for method in ("model", "oracle", "least squares"):
            errors, covered, widths = [], [], []
            for one in chosen:
                real = [row for row in one["rows"] if row["truth"] > 0]
                errors.append(np.mean([abs(row[method][0] / row["truth"] - 1) for row in real]))
                widths += [(row[method][2] - row[method][1]) / row["truth"] for row in real]
                covered += [row[method][1] <= row["truth"] <= row[method][2] for row in one["rows"]]
            several = len(errors) > 1
            rows.append(
                {
                    "kind": key[0],
                    "variant": key[1],
                    "method": method,
                    "worlds": len(chosen),
                    "intervals": len(covered),
                    "error": float(np.mean(errors)),
                    "error_standard_error": float(np.std(errors, ddof=1) / np.sqrt(len(errors)))
                    if several
                    else None,
                    "covered": int(np.sum(covered)),
                    "covered_by_market": float(
                        np.mean([row["covered_by_market"] for one in chosen for row in one["rows"]])
                    )
                    if method == "model"
                    else None,
                    "width": float(np.mean(widths)),
                }
            )
    return pd.DataFrame(rows)


def sampling(found: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a kind and variant: how the chains did."""
    frame = pd.DataFrame([{k: v for k, v in one.items() if k != "rows"} for one in found])
    frame["is_converged"] = (frame["r_hat"] < 1.01) & (frame["ess"] > 400) & (frame["divergences"] == 0)
    return (
        frame.groupby(["kind", "variant"], sort=False)
        .agg(
            worlds=("seed", "size"),
            converged=("is_converged", "sum"),
            r_hat=("r_hat", "max"),
            ess=("ess", "min"),
            divergences=("divergences", "sum"),
            gradients=("gradients", "mean"),
            cpu_seconds=("cpu_seconds", "mean"),
            seconds=("seconds", "mean"),
        )
        .reset_index()
    )


def false_alarms(found: list[dict[str, Any]], channel: str) -> tuple[int, int]:
    """In how many placebo worlds the 90 % interval of a channel without effect excludes 0, and of how many."""
    rows = [row for one in found for row in one["rows"] if row["channel_id"] == channel and row["truth"] == 0]
    return sum(not row["model"][1] <= 0 <= row["model"][2] for row in rows), len(rows)


def page(content: dict[str, Any]) -> str:
    """The Markdown page."""
    where = content["provenance"]
    lines = [
        "# Response model: known ROI recovered",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores. Worlds and seeds: "
        "models/simulate/market_studies.py, fixed before any estimator ran; settings: the defaults of ResponseConfig"
        f"{', ' + str(content['settings']) if content['settings'] else ''}.",
        "",
        "National ROI (total effect) of every channel: mean absolute relative error (with its standard error over "
        "worlds), 90 % intervals that hold the truth, their mean width over the truth. `proxy`: the recorded proxy of "
        "demand is a control; `lift tests`: one test a channel. The oracle knows adstock, curves, noise and demand; "
        "least squares has effects of markets and weeks (national: a line and waves) and spend of the same week.",
        "",
        "| kind | variant | method | worlds | error | covered | by market | width |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in content["summary"]:
        error = f"{row['error']:.3f}"
        error += f" ({row['error_standard_error']:.3f})" if not pd.isna(row["error_standard_error"]) else ""
        market = "–" if pd.isna(row["covered_by_market"]) else f"{row['covered_by_market']:.2f}"
        lines.append(
            f"| {row['kind']} | {row['variant']} | {row['method']} | {row['worlds']} | {error} "
            f"| {row['covered']} of {row['intervals']} ({row['covered'] / row['intervals']:.2f}) | {market} "
            f"| {row['width']:.2f} |"
        )
    lines += [
        "",
        "Chains: how many worlds had R-hat below 1.01, bulk ESS above 400 for every sampled parameter and no "
        "divergence; worst of each; mean gradients and seconds of a fit.",
        "",
        "| kind | variant | worlds | converged | R-hat | ESS | divergences | gradients | CPU s | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in content["sampling"]:
        lines.append(
            f"| {row['kind']} | {row['variant']} | {row['worlds']} | {row['converged']} | {row['r_hat']:.3f} "
            f"| {row['ess']:.0f} | {row['divergences']} | {row['gradients']:.0f} | {row['cpu_seconds']:.0f} "
            f"| {row['seconds']:.0f} |"
        )
    alarms, count = content["false_alarms"]
    if count:
        lines += [
            "",
            f"Placebo channel, sign free: its 90 % interval excludes 0 in {alarms} of {count} worlds.",
        ]
    return "\n".join(lines) + "\n"
