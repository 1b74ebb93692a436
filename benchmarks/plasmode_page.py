"""Tables, page and picture of the plasmode study: from what the replicates found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import bdtrc, ndtri

from models.evaluation.plasmode_recovery import (
    KEYS,
    LEVEL,
    count_recovered,
    judge_differences,
    judge_zero_levels,
    with_rates,
)

LABELS = {
    "hbmmm": "HBMMM",
    "within_consumer": "within consumer",
    "pooled_ols": "naive OLS",
    "pooled_ols_covariates": "OLS with covariates",
    "hbmmm_blind": "HBMMM, carry-over ignored",
    "within_consumer_blind": "within consumer, carry-over ignored",
}
TITLES = {"same_period": "Effects in the period of exposure", "carry_over": "Effects that carry over"}


def recovery(results: dict[int, dict[str, Any]], gmv: float) -> dict[str, Any]:
    """What one setting's injections (replicate -> rows and truth of measure_injection; -1: without) found."""
    replicates = sorted(r for r in results if r >= 0)
    truth = _truth(results[-1])
    cells = judge_differences(
        _estimates(results[-1]), [_estimates(results[r]) for r in replicates], truth["value"]
    )
    drawn = pd.DataFrame({r: _truth(results[r])["realised"] for r in replicates}).mean(axis=1)
    dollars = pd.DataFrame({"expected": truth["value"], "realised_mean": drawn})
    dollars = dollars.xs(("all", "contribution"), level=(0, 2)).reset_index()
    return {
        "injected_share_of_gmv": float(dollars["expected"].sum() / gmv),
        "contributions": _records(dollars),
        "summary": _records(count_recovered(cells)),
        "cells": _records(cells),
    }


def without_noise(results: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Differences where the expectation itself is injected (replicate -2): approximation and shrinkage alone."""
    change = _estimates(results[-2])["mean"] - _estimates(results[-1])["mean"]
    table = (
        change.rename("difference")
        .reset_index()
        .join(_truth(results[-1])["value"].rename("truth"), on=KEYS[1:])
    )
    return _records(table.assign(ratio=(table["difference"] / table["truth"]).where(table["truth"] > 0)))


def placebo(results: Iterable[dict[str, Any]], gmv: float) -> dict[str, Any]:
    """What the swaps found: slopes of each method over all channels, and by channel."""
    results = list(results)
    cells = judge_zero_levels([_estimates(one) for one in results])
    slopes, money = cells[cells["estimand"] == "slope"], cells[cells["estimand"] == "contribution"]
    by_method = slopes.groupby("method", sort=False)
    summary = with_rates(by_method[["significant", "replicates"]].sum().reset_index())
    in_errors = (slopes["level"] / slopes["published_error"]).abs().groupby(slopes["method"]).max()
    contributions = money.groupby("method")["level"].sum() / gmv
    summary["largest_level_in_published_errors"] = in_errors.loc[summary["method"]].to_numpy()
    summary["contribution_share_of_gmv"] = contributions.loc[summary["method"]].to_numpy()
    return {
        "summary": _records(summary),
        "likeness": pd.DataFrame([one["likeness"] for one in results]).mean().to_dict(),
        "cells": _records(cells),
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


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON: no NaN, six digits."""
    numbers = table.select_dtypes("float")
    short = table.assign(**{name: numbers[name].map(lambda v: float(f"{v:.6g}")) for name in numbers})
    return short.astype(object).where(short.notna(), None).to_dict("records")


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
        "root of their number, which shows biases far smaller than any single data set could. Published error: the "
        "standard deviation reported without injection.",
    ]
    for setting, found in content["recovery"].items():
        lines += _recovery_lines(setting, found, content["multipliers"])
    lines += chosen_lines(content["chosen"], content["effects"])
    return "\n".join([*lines, *_noiseless_lines(content), *_swap_lines(content)]) + "\n"


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
        "| method | level | within error | within published error | mean within mean error | median bias | largest |",
        "|---|---|---|---|---|---|---|",
    ]
    for s in sorted(found["summary"], key=lambda one: list(LABELS).index(one["method"])):
        level = {"channels": "channels", "groups": "age groups"}[s["level"]]
        lines.append(
            f"| {LABELS[s['method']]} | {level} | {s['within_error']} of {s['cells']} | "
            f"{s['within_published_error']} of {s['cells']} | {s['within_mean_error']} of {s['cells']} | "
            f"{s['median_bias_share']:.1%} | {s['largest_bias_share']:.1%} |"
        )
    lines += ["", recovery_verdict(found), ""]
    lines += ["Difference ± error; * where the truth is outside the error of one injection.", ""]
    lines += _pivot(cells[cells["segment"] == "all"], ["channel_id", "estimand"], ["all"])
    lines += ["", "Slopes by age group:", ""]
    groups = cells[(cells["segment"] != "all") & (cells["estimand"] == "slope")]
    return lines + _pivot(
        groups[~groups["method"].str.endswith("_blind")], ["channel_id", "segment"], groups_in_order
    )


def recovery_verdict(found: dict[str, Any]) -> str:
    """Whether the HBMMM finds what was injected, in a sentence that can turn out either way.

    Of cells whose 95 % error is right 5 % lie outside; more than chance would put there (binomial) is not recovered.
    Cells of a channel go together, so the p value is a guide.
    """
    said = []
    for one in found["summary"]:
        if one["method"] == "hbmmm":
            level = {"channels": "channels", "groups": "age groups"}[one["level"]]
            said.append(f"{level} {_recovered(one['within_error'], one['cells'])}")
    return f"Verdict on the HBMMM, within the error of one injection: {'; '.join(said)}."


def _recovered(inside: int, cells: int) -> str:
    outside = cells - inside
    p_value = float(bdtrc(outside - 1, cells, 1 - LEVEL)) if outside else 1.0
    word = "recovered" if p_value >= 1 - LEVEL else "not recovered"
    return f"**{word}** ({inside} of {cells} cells, p {p_value:.2g})"


def chosen_lines(chosen: dict[str, Any], effects: dict[str, dict[str, float]]) -> list[str]:
    """One injection whose decays the model had to choose: what it chose, and what it then found."""
    lines = [
        "",
        "### Decays chosen, not given",
        "",
        "One injection of effects that carry over; estimators see raw exposures, and decays and bends are chosen from "
        f"the purchases (models/hbmmm/carryover.py): {chosen['scored']} candidates scored, {chosen['drawn']} in the "
        f"mixture{', which held-out error refuted before' if chosen['is_refuted'] else ''}. The same candidates are "
        "fitted with and without the injection. Slopes are of the period of exposure, contributions of all exposures.",
        "",
        "| channel | true decay | probability of it | within one step of the grid | mean of the mixture |",
        "|---|---|---|---|---|",
    ]
    table = pd.DataFrame(chosen["probabilities"])
    for channel, part in table.groupby("channel_id", sort=False):
        effect = effects.get(channel)
        grid, weight = part["decay"].to_numpy(), part["probability"].to_numpy()
        mean = f"{grid @ weight:.2f}"
        if effect is None:
            lines.append(f"| {channel} | no effect | - | - | {mean} |")
            continue
        step = np.abs(np.arange(len(grid)) - np.abs(grid - effect["decay"]).argmin())
        at, near = weight[step == 0].sum(), weight[step <= 1].sum()
        lines.append(f"| {channel} | {effect['decay']:g} | {at:.2f} | {near:.2f} | {mean} |")
    cells = pd.DataFrame(chosen["cells"])
    off = (cells["difference"] - cells["truth"]) / cells["published_error"]
    inside = off.abs() <= ndtri(0.5 + LEVEL / 2)
    lines += [
        "",
        "| channel | estimand | truth | difference | published error | off by, in published errors |",
        "|---|---|---|---|---|---|",
    ]
    for cell, by in zip(chosen["cells"], off, strict=True):
        form = ",.0f" if cell["estimand"] == "contribution" else ",.3f"
        lines.append(
            f"| {cell['channel_id']} | {cell['estimand']} | {cell['truth']:{form}} | {cell['difference']:{form}} "
            f"| {cell['published_error']:{form}} | {by:+.2f} |"
        )
    said = _recovered(int(inside.sum()), len(cells))
    return [*lines, "", f"Verdict on the HBMMM, within its published error: {said}.", ""]


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


def _noiseless_lines(content: dict[str, Any]) -> list[str]:
    """Ratios of difference and truth where nothing is random."""
    cells = pd.concat([pd.DataFrame(rows).assign(setting=s) for s, rows in content["without_noise"].items()])
    cells = cells[cells["truth"] > 0]
    ratio = cells.set_index(["setting", *KEYS])["ratio"].astype(float)
    plain, carried, imputed = content["without_noise"]
    methods = ("hbmmm", "within_consumer", "pooled_ols")
    everybody = [(s, m) for s in (plain, carried) for m in methods]
    said = {plain: "same period", carried: "carry-over"}
    lines = [
        "",
        "### Approximation and shrinkage alone",
        "",
        "The expectation itself injected, nothing random: difference over truth, 1 is exact.",
        "",
        "| channel | estimand | " + " | ".join(f"{LABELS[m]}, {said[s]}" for s, m in everybody) + " |",
        "|---" * (2 + len(everybody)) + "|",
    ]
    of_all = cells[(cells["segment"] == "all") & (cells["setting"] == plain) & (cells["method"] == "hbmmm")]
    for row in of_all.sort_values(["channel_id", "estimand"]).itertuples():
        values = [ratio[s, m, "all", row.channel_id, row.estimand] for s, m in everybody]
        lines.append(
            f"| {row.channel_id} | {row.estimand} | " + " | ".join(f"{v:.3f}" for v in values) + " |"
        )
    by_age = [(plain, "hbmmm"), (imputed, "hbmmm"), (plain, "within_consumer")]
    lines += ["", "| channel | age | HBMMM | HBMMM, unknown ages respond as completed | within consumer |"]
    lines.append("|---|---|---|---|---|")
    for channel in sorted(of_all["channel_id"].unique()):
        for age in content["multipliers"]:
            values = [ratio[s, m, age, channel, "slope"] for s, m in by_age]
            lines.append(f"| {channel} | {age} | " + " | ".join(f"{v:.3f}" for v in values) + " |")
    known = [age for age in content["multipliers"] if age != "missing"]
    of_known = cells[
        cells["segment"].isin(known) & (cells["method"] == "hbmmm") & (cells["estimand"] == "slope")
    ]
    off = (of_known["ratio"].astype(float) - 1).abs().groupby(of_known["setting"]).max()
    worst = [float(off[s]) for s in (plain, imputed)]
    return [
        *lines,
        "",
        "Slopes by age group, effects of the same period. The HBMMM completes unknown ages and lets them move "
        "the response. Where households of unknown age respond alike, whatever age they got, it pulls age groups "
        f"together: the known groups are off by up to {worst[0]:.0%}. Where they respond as their completed age says, "
        f"by up to {worst[1]:.0%}. Which of the two holds in real data cannot be seen from them.",
    ]


def _swap_lines(content: dict[str, Any]) -> list[str]:
    found = content["placebo"]
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
    for one in found["summary"]:
        lines.append(
            f"| {LABELS[one['method']]} | {one['share_significant']:.1%} | {one['p_value']:.3g} | "
            f"{one['largest_level_in_published_errors']:.2f} | {one['contribution_share_of_gmv']:+.1%} |"
        )
    lines += ["", verdict(found), "", "![Recovery and swaps](plasmode.png)", ""]
    cells = pd.DataFrame(found["cells"]).query("estimand == 'slope'")
    methods = list(dict.fromkeys(cells["method"]))
    lines += ["Mean slope over swaps, in brackets the share significant:", ""]
    lines += [
        "| channel | likeness | " + " | ".join(map(LABELS.get, methods)) + " |",
        "|---" * (len(methods) + 2) + "|",
    ]
    for channel, part in cells.groupby("channel_id"):
        rows = part.set_index("method")
        said = [f"{rows.at[m, 'level']:.2f} ({rows.at[m, 'share_significant']:.0%})" for m in methods]
        lines.append(f"| {channel} | {found['likeness'][channel]:.2f} | " + " | ".join(said) + " |")
    lines += [
        "",
        "Likeness: correlation of received and own exposures, less household and period means. Look-alikes share a "
        "store and often a campaign; where it is far from zero, a real effect of the own exposures shows through, and "
        "the true level is near zero only.",
    ]
    return lines


def verdict(found: dict[str, Any]) -> str:
    """Whether the primary estimator and naive OLS say zero, in a sentence that can turn out either way."""
    said = []
    for one in found["summary"]:
        if one["method"] in ("hbmmm", "pooled_ols"):
            zero = one["p_value"] >= 1 - LEVEL
            said.append(f"{LABELS[one['method']]} **{'says zero' if zero else 'does not say zero'}**")
    return "; ".join(said) + "."


def picture(content: dict[str, Any]) -> bytes:
    """Contributions recovered by channel, with and without carry-over, and significant slopes after swaps."""
    from models.figures.drawing import GREY, PALETTE, new_figure, to_png

    colours = dict(zip(LABELS, PALETTE, strict=False))
    figure, axes = new_figure(10.0, 3.8, columns=3)
    for axis, (setting, found) in zip(axes[0], content["recovery"].items(), strict=False):
        cells = pd.DataFrame(found["cells"])
        cells = cells[
            (cells["segment"] == "all") & (cells["estimand"] == "contribution") & (cells["truth"] > 0)
        ]
        for method, at, part in _beside(axis, cells):
            ratio, reach = part["difference"] / part["truth"], 1.96 * part["error"] / part["truth"]
            axis.errorbar(at, ratio, reach, fmt="o", markersize=4, color=colours[method], linewidth=1.0)
        axis.axhline(1.0, color=GREY, linewidth=0.8)
        axis.set_title(f"{TITLES[setting]}:\ncontribution, difference / truth", fontsize=8)
    axis = axes[0, 2]
    for method, at, part in _beside(
        axis, pd.DataFrame(content["placebo"]["cells"]).query("estimand == 'slope'")
    ):
        axis.bar(at, part["share_significant"], 0.15, color=colours[method])
    axis.axhline(1 - LEVEL, color=GREY, linewidth=0.8)
    axis.set_title("Histories swapped, truth zero:\nshare of significant slopes", fontsize=8)
    for method, colour in colours.items():
        axis.plot([], [], "o", markersize=4, color=colour, label=LABELS[method])
    figure.legend(loc="outside lower center", ncols=len(colours), fontsize=7, frameon=False)
    return to_png(figure)


def _beside(axis: Any, cells: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, pd.DataFrame]]:
    """Each method with its places beside the others' on an axis of channels, and its rows in their order."""
    channels, methods = sorted(cells["channel_id"].unique()), list(dict.fromkeys(cells["method"]))
    axis.set_xticks(range(len(channels)), channels, rotation=20, fontsize=7)
    for m, method in enumerate(methods):
        at = np.arange(len(channels)) + (m - (len(methods) - 1) / 2) * 0.15
        yield method, at, cells[cells["method"] == method].set_index("channel_id").loc[channels]
