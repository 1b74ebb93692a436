"""Tables, page and picture of the plasmode study: from what the replicates found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import bdtrc
from scipy.stats import t as student

LABELS = {
    "hbmmm": "HBMMM",
    "within_consumer": "within consumer",
    "pooled_ols": "naive OLS",
    "pooled_ols_covariates": "OLS with covariates",
    "hbmmm_blind": "HBMMM, carry-over ignored",
    "within_consumer_blind": "within consumer, carry-over ignored",
}
TITLES = {"same_period": "Effects in the period of exposure", "carry_over": "Effects that carry over"}
KEYS = ["method", "segment", "channel_id", "estimand"]
LEVEL = 0.95


def judge_injections(results: dict[int, dict[str, Any]], gmv: float) -> dict[str, Any]:
    """Differences with minus without injection against the truth, by cell of KEYS, and counts by method.

    results: replicate (-1: without injection) -> rows and truth of measure_injection. Of each cell: truth (slope: of
    the same period; contribution: all that was injected), mean difference, `error`: its standard deviation over
    replicates, the error of one difference; `mean_error`: over the root of their number; `published_error`: the
    standard deviation an analyst without knowledge of the injection reports.
    """
    without = _estimates(results[-1])
    replicates = sorted(r for r in results if r >= 0)
    differences = pd.DataFrame({r: _estimates(results[r])["mean"] - without["mean"] for r in replicates})
    truth = _truth(results[-1])
    table = pd.DataFrame(
        {
            "difference": differences.mean(axis=1),
            "error": differences.std(axis=1, ddof=1),
            "published_error": without["sd"],
        }
    ).reset_index()
    table = table.join(truth["value"].rename("truth"), on=KEYS[1:])
    table["mean_error"] = table["error"] / np.sqrt(len(replicates))
    reach = float(student.ppf(0.5 + LEVEL / 2, len(replicates) - 1))
    bias = table["difference"] - table["truth"]
    table["within_error"] = bias.abs() <= reach * table["error"]
    table["within_mean_error"] = bias.abs() <= reach * table["mean_error"]
    table["bias_share"] = (bias / table["truth"]).where(table["truth"] > 0)
    table["bias_in_published_errors"] = bias / table["published_error"]
    drawn = {r: _truth(results[r])["realised"] for r in replicates}
    return {
        "injected_share_of_gmv": float(truth["value"].xs(("all", "contribution"), level=(0, 2)).sum() / gmv),
        "contributions": _contributions(truth, pd.DataFrame(drawn)),
        "summary": [_summary(method, part) for method, part in table.groupby("method", sort=False)],
        "cells": _records(table),
    }


def _estimates(result: dict[str, Any]) -> pd.DataFrame:
    """mean and sd by KEYS."""
    return pd.DataFrame(result["rows"], columns=[*KEYS, "mean", "sd"]).set_index(KEYS).astype(float)


def _truth(result: dict[str, Any]) -> pd.DataFrame:
    """value and realised of slopes in the same period and of contributions, by segment, channel and estimand."""
    columns = ["segment", "channel_id", "estimand", "horizon", "value", "realised"]
    frame = pd.DataFrame(result["truth"], columns=columns)
    kept = frame[(frame["estimand"] == "contribution") | (frame["horizon"] == "immediate")]
    return kept.set_index(KEYS[1:])[["value", "realised"]].astype(float).sort_index()


def _contributions(truth: pd.DataFrame, realised: pd.DataFrame) -> list[dict[str, Any]]:
    """Dollars injected by channel: expected, and drawn on average."""
    wanted = truth["value"].xs(("all", "contribution"), level=(0, 2))
    drawn = realised.xs(("all", "contribution"), level=(0, 2)).mean(axis=1)
    return [{"channel_id": c, "expected": wanted[c], "realised_mean": float(drawn[c])} for c in wanted.index]


def _summary(method: str, part: pd.DataFrame) -> dict[str, Any]:
    """How many cells of a method are within their error, channels and age groups apart."""
    out: dict[str, Any] = {"method": method}
    for level, rows in (
        ("channels", part[part["segment"] == "all"]),
        ("age_groups", part[part["segment"] != "all"]),
    ):
        real = rows[rows["truth"] > 0]
        out[level] = {
            "cells": len(rows),
            "within_error": int(rows["within_error"].sum()),
            "within_mean_error": int(rows["within_mean_error"].sum()),
            "median_absolute_bias_share": float(real["bias_share"].abs().median()),
            "largest_absolute_bias_share": float(real["bias_share"].abs().max()),
            "largest_bias_in_published_errors": float(rows["bias_in_published_errors"].abs().max()),
        }
    return out


def judge_swaps(results: Iterable[dict[str, Any]], gmv: float) -> dict[str, Any]:
    """Estimates on exchanged histories, truth zero: mean level and share significant by method, channel, estimand.

    `p_value`: probability of at least so many significant ones if 5 % were; swaps share one outcome, so it is a guide.
    """
    results = list(results)
    draws = pd.concat([_estimates(one).assign(swap=i) for i, one in enumerate(results)]).reset_index()
    draws["significant"] = draws["mean"].abs() > 1.959964 * draws["sd"]
    groups = draws.groupby(["method", "channel_id", "estimand"], sort=False)
    table = groups.agg(
        swaps=("swap", "size"),
        level=("mean", "mean"),
        error=("mean", "std"),
        published_error=("sd", "mean"),
        significant=("significant", "sum"),
    ).reset_index()
    table["share_significant"] = table["significant"] / table["swaps"]
    table["p_value"] = [
        _upper_tail(int(h), int(n)) for h, n in zip(table["significant"], table["swaps"], strict=True)
    ]
    table["share_of_gmv"] = (table["level"] / gmv).where(table["estimand"] == "contribution")
    slopes = table[table["estimand"] == "slope"]
    money = table[table["estimand"] == "contribution"]
    summary = [
        {
            "method": method,
            "share_significant": float(rows["significant"].sum() / rows["swaps"].sum()),
            "p_value": _upper_tail(int(rows["significant"].sum()), int(rows["swaps"].sum())),
            "largest_level_in_published_errors": float((rows["level"] / rows["published_error"]).abs().max()),
            "contribution_share_of_gmv": float(money.loc[money["method"] == method, "level"].sum() / gmv),
        }
        for method, rows in slopes.groupby("method", sort=False)
    ]
    likeness = pd.DataFrame([one["likeness"] for one in results]).mean().to_dict()
    return {"summary": summary, "likeness": likeness, "cells": _records(table)}


def _upper_tail(hits: int, count: int) -> float:
    return float(bdtrc(hits - 1, count, 1 - LEVEL)) if hits else 1.0


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON: no NaN."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


# ------------------------------------------------------------------------------------------------ page
def page(content: dict[str, Any]) -> str:
    """The study for people."""
    where = content["provenance"]
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in content["cpu_seconds_each"].items())
    lines = [
        "# Known effects in real purchases (plasmode)",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB, "
        f"{content['seconds']:.0f} s (of this run; replicates kept from an earlier one are not counted), "
        f"seed {content['seed']}. CPU seconds each: {seconds}.",
        "",
        f"Panel of {content['source']} up to {content['as_of_date']}: all {content['households']:,} households, "
        f"{content['rows']:,} household-{content['period']}s, {content['zero_share']:.0%} of them without a purchase. "
        "The HBMMM is refitted by normal approximation at the mode (models/hbmmm/refit.py), one completed data set.",
        "",
        "## With minus without",
        "",
        f"Extra purchases are added to the real ones, {content['injections']} times: a Poisson number, each as large "
        "as one of the household's own (a period's amount), so that what is expected is the dollars below, times "
        + ", ".join(f"{factor:g} (age {group})" for group, factor in content["multipliers"].items())
        + ". Whoever is targeted, and what they buy, stays real.",
        "",
        "| channel | dollars of the first exposure | bends at | decay where it carries over |",
        "|---|---|---|---|",
        *(
            f"| {channel} | {e['amount']:g} | {e['bend']:g} | {e['decay']:g} |"
            for channel, e in content["effects"].items()
        ),
        "| others | 0 | | |",
        "",
        "Judged is the difference between the estimate with and the one without the injection. Targeting bias cancels "
        "in it, so even naive OLS may pass: **it is necessary, not sufficient**; the second part below is what naive "
        "methods cannot pass. Error: standard deviation of the difference over injections. Mean error: that over the "
        "root of their number, which shows biases far smaller than any single data set could.",
    ]
    for setting, found in content["recovery"].items():
        lines += _recovery_lines(setting, found, content["multipliers"])
    return "\n".join([*lines, *_swap_lines(content)]) + "\n"


def _recovery_lines(setting: str, found: dict[str, Any], groups_in_order: Iterable[str]) -> list[str]:
    cells = pd.DataFrame(found["cells"])
    lines = ["", f"### {TITLES[setting]}", ""]
    if setting == "carry_over":
        lines += [
            'Estimators see adstock with the true decays in the place of exposures; "ignored" rows do not.',
            "",
        ]
    lines += [
        f"Injected: {found['injected_share_of_gmv']:.1%} of GMV. Cells are channel x estimand (slope, contribution), "
        "and the same by age group.",
        "",
        "| method | level | within error | mean within mean error | median bias | largest | in published errors |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found["summary"]:
        for level in ("channels", "age_groups"):
            s = one[level]
            lines.append(
                f"| {LABELS[one['method']]} | {level.replace('_', ' ')} | {s['within_error']} of {s['cells']} | "
                f"{s['within_mean_error']} of {s['cells']} | {s['median_absolute_bias_share']:.1%} | "
                f"{s['largest_absolute_bias_share']:.1%} | {s['largest_bias_in_published_errors']:.2f} |"
            )
    lines += ["", "Difference ± error; * where the truth is outside the error of one injection.", ""]
    lines += _pivot(cells[cells["segment"] == "all"], ["channel_id", "estimand"], ["all"])
    lines += ["", "Slopes by age group:", ""]
    groups = cells[(cells["segment"] != "all") & (cells["estimand"] == "slope")]
    return lines + _pivot(
        groups[~groups["method"].str.endswith("_blind")], ["channel_id", "segment"], groups_in_order
    )


def _pivot(cells: pd.DataFrame, keys: list[str], segments: Iterable[str]) -> list[str]:
    """Rows by keys with the truth and a column of differences for each method; slopes to a tenth of a cent."""
    methods = list(dict.fromkeys(cells["method"]))
    head = [
        *("age" if k == "segment" else k.replace("_id", "") for k in keys),
        "truth",
        *map(LABELS.get, methods),
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    order = {name: at for at, name in enumerate(segments)}
    by_place = cells.assign(place=cells["segment"].map(order)).sort_values(
        ["channel_id", "place", "estimand"]
    )
    for names, part in by_place.groupby(keys, sort=False):
        rows = part.set_index("method")
        form = ",.0f" if part["estimand"].iloc[0] == "contribution" else ",.3f"
        numbers = [
            f"{rows.at[m, 'difference']:{form}} ± {rows.at[m, 'error']:{form}}"
            + ("" if rows.at[m, "within_error"] else " *")
            for m in methods
        ]
        lines.append("| " + " | ".join([*names, f"{part['truth'].iloc[0]:{form}}", *numbers]) + " |")
    return lines


def _swap_lines(content: dict[str, Any]) -> list[str]:
    placebo = content["placebo"]
    lines = [
        "",
        "## Histories swapped between look-alikes",
        "",
        f"{content['swaps']} times, every household gets the whole exposure history of another in its market and "
        f"pre-period spend stratum ({content['swappable_share']:.0%} have one). The true level is zero, targeting "
        "between groups is as real as it comes. Not a difference: the estimate itself is judged. Swaps share one "
        "outcome, so the p value (of at least so many significant slopes, if 5 % were) is a guide.",
        "",
        "| method | significant slopes | p | largest mean slope, in published errors | contributions, share of GMV |",
        "|---|---|---|---|---|",
    ]
    for one in placebo["summary"]:
        lines.append(
            f"| {LABELS[one['method']]} | {one['share_significant']:.1%} | {one['p_value']:.3g} | "
            f"{one['largest_level_in_published_errors']:.2f} | {one['contribution_share_of_gmv']:+.1%} |"
        )
    lines += ["", verdict(placebo), "", "![Recovery and swaps](plasmode.png)", ""]
    cells = pd.DataFrame(placebo["cells"]).query("estimand == 'slope'")
    methods = list(dict.fromkeys(cells["method"]))
    lines += ["Mean slope over swaps, in brackets the share significant:", ""]
    lines += [
        "| channel | likeness | " + " | ".join(map(LABELS.get, methods)) + " |",
        "|---" * (len(methods) + 2) + "|",
    ]
    for channel, part in cells.groupby("channel_id"):
        rows = part.set_index("method")
        said = [f"{rows.at[m, 'level']:.2f} ({rows.at[m, 'share_significant']:.0%})" for m in methods]
        lines.append(f"| {channel} | {placebo['likeness'][channel]:.2f} | " + " | ".join(said) + " |")
    lines += [
        "",
        "Likeness: correlation of received and own exposures, less household and period means. Look-alikes share a "
        "store and often a campaign; where it is far from zero, a real effect of the own exposures shows through, and "
        "the true level is near zero only.",
    ]
    return lines


def verdict(placebo: dict[str, Any]) -> str:
    """Whether the primary estimator and naive OLS say zero, in a sentence that can turn out either way."""
    said = []
    for one in placebo["summary"]:
        if one["method"] in ("hbmmm", "pooled_ols"):
            zero = one["p_value"] >= 1 - LEVEL
            said.append(f"{LABELS[one['method']]} **{'says zero' if zero else 'does not say zero'}**")
    return "; ".join(said) + "."


def picture(content: dict[str, Any]) -> bytes:
    """Contributions recovered by channel, with and without carry-over, and significant slopes after swaps."""
    from models.figures.drawing import GREY, PALETTE, new_figure, to_png

    figure, axes = new_figure(10.0, 3.4, columns=3)
    for axis, (setting, found) in zip(axes[0], content["recovery"].items(), strict=False):
        cells = pd.DataFrame(found["cells"])
        cells = cells[
            (cells["segment"] == "all") & (cells["estimand"] == "contribution") & (cells["truth"] > 0)
        ]
        channels, methods = sorted(cells["channel_id"].unique()), list(dict.fromkeys(cells["method"]))
        for m, method in enumerate(methods):
            part = cells[cells["method"] == method].set_index("channel_id").loc[channels]
            at = np.arange(len(channels)) + (m - (len(methods) - 1) / 2) * 0.15
            ratio, reach = part["difference"] / part["truth"], 1.96 * part["error"] / part["truth"]
            axis.errorbar(
                at, ratio, reach, fmt="o", markersize=4, color=PALETTE[m], linewidth=1.0, label=LABELS[method]
            )
        axis.axhline(1.0, color=GREY, linewidth=0.8)
        axis.set_xticks(range(len(channels)), channels, rotation=20, fontsize=7)
        axis.set_title(f"{TITLES[setting]}:\ncontribution, difference / truth", fontsize=8)
        axis.legend(fontsize=6, frameon=False)
    cells, axis = pd.DataFrame(content["placebo"]["cells"]).query("estimand == 'slope'"), axes[0, 2]
    channels, methods = sorted(cells["channel_id"].unique()), list(dict.fromkeys(cells["method"]))
    for m, method in enumerate(methods):
        part = cells[cells["method"] == method].set_index("channel_id").loc[channels]
        at = np.arange(len(channels)) + (m - (len(methods) - 1) / 2) * 0.2
        axis.bar(at, part["share_significant"], 0.2, color=PALETTE[m], label=LABELS[method])
    axis.axhline(1 - LEVEL, color=GREY, linewidth=0.8)
    axis.set_xticks(range(len(channels)), channels, rotation=20, fontsize=7)
    axis.set_title("Histories swapped, truth zero:\nshare of significant slopes", fontsize=8)
    axis.legend(fontsize=6, frameon=False)
    return to_png(figure)
