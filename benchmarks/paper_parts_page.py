"""Pieces of the page of the paper's tables that worlds and Complete Journey share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.paper_published import TABLE_7

R_HAT_MOST, ESS_LEAST = 1.01, 1000.0  # the paper's Table 4 asks 1.1 and 1,000

MODEL_NAMES = {
    "oracle": "oracle (knows every expectation)",
    "known_population": "knows the population, learns consumers",
    "hbmmm": "**HBMMM**",
    "market_bayes": "non-hierarchical Bayes (by market)",
    "pooled_ols": "OLS (x, Z)",
    "pooled_ols_characteristics": "OLS (x, Z, W)",
    "ridge": "ridge (x, Z)",
    "consumer_ols": "no pooling (by consumer)",
    "seasonal_naive": "seasonal naive",
}
SCORES = ("rmse", "mae", "r_squared", "crps", "interval_coverage")
CRITERIA = tuple(
    f"{level} {name}" for level in ("conditional", "marginal") for name in ("DIC", "WAIC", "LOO")
)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table."""
    head = list(header)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def shown(value: float | None, digits: int = 4) -> str:
    """A number to so many significant digits, a dash for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def ran_text(part: dict[str, Any], seconds: float) -> str:
    """Which command ran where and how long."""
    where = part["provenance"]
    changed = "" if where["tree_is_clean"] else " with changes"
    return (
        f"`{part['command']}`, {where['date']}, commit {where['commit'][:10]}{changed}, {where['cores']} cores (load "
        f"{where['load_average']} at the start), {where['memory_gib']} GiB, {seconds:.0f} s."
    )


def between(low: float | None, high: float | None, digits: int = 3) -> str:
    """An interval."""
    return "-" if low is None else f"{shown(low, digits)} to {shown(high, digits)}"


def is_converged(sampler: dict[str, Any]) -> bool:
    """Whether chains keep the criteria of Table 4, with R-hat below 1.01."""
    return (
        sampler["r_hat_max"] < R_HAT_MOST
        and min(sampler["ess_bulk_min"], sampler["ess_tail_min"]) > ESS_LEAST
    )


def verdict_text(holds: bool, sampler: dict[str, Any]) -> str:
    """A verdict, and whether the chains it rests on were long enough."""
    short = (
        "" if is_converged(sampler) else f" (by chains short of R-hat {R_HAT_MOST} or ESS {ESS_LEAST:,.0f})"
    )
    return f"**{'pass' if holds else 'FAIL'}**{short}"


def sampler_text(s: dict[str, Any]) -> str:
    """Chains, draws and what a sampler must answer for."""
    return (
        f"{s['method'].upper()}, {s['chains']} chains of {s['draws_a_chain']} draws, "
        f"largest R-hat {s['r_hat_max']:.4f}, least bulk ESS {s['ess_bulk_min']:,.0f}, "
        f"least tail ESS {s['ess_tail_min']:,.0f}, {s['divergences']} divergences, "
        f"{s['seconds']['sampling']:.0f} s of sampling."
    )


def best_model(scores: list[dict[str, Any]], name: str) -> str:
    """The model with the smallest score."""
    return MODEL_NAMES[min(scores, key=lambda r: r[name])["model_name"]]


def scores_table(scores: list[dict[str, Any]], with_paper: bool) -> list[str]:
    """Table 7; with_paper: the cut in RMSE that the paper prints for the same model beside ours."""
    header = ["model", "RMSE", "MAE", "R2", "CRPS", "95 % coverage", "RMSE cut against OLS"]
    rows = []
    for r in scores:
        row = [MODEL_NAMES[r["model_name"]], *(shown(r[name]) for name in SCORES), f"{r['rmse_cut']:.1%}"]
        if with_paper:
            printed = TABLE_7.get(r["model_name"])
            row.append("-" if printed is None else f"{1 - printed[0] / TABLE_7['pooled_ols'][0]:.1%}")
        rows.append(row)
    return table([*header, "the paper's cut"] if with_paper else header, rows)


def criteria_lines(t: dict[str, Any], rows: str) -> list[str]:
    """Information criteria of a Table 7 on the rows named so; a model without them has its reason instead."""
    missing = t.get("criteria_missing", {})
    lines = [
        f"Information criteria on the {rows} (deviance scale, smaller is better; conditional: points are rows "
        "of known consumers; marginal: points are consumers, their effects integrated out). DIC is mean deviance + pD, "
        "pD from the posterior mean; LOO is exact given the variances for the HBMMM, exact for the other. The two "
        "levels must not be compared with each other.",
        "",
    ]
    if t["criteria"]:
        body = [
            [name, *(criterion_text(found[name]) for found in t["criteria"].values())] for name in CRITERIA
        ]
        lines += table(["criterion", *(MODEL_NAMES[m] for m in t["criteria"])], body)
    for model, reason in missing.items():
        lines += [f"{MODEL_NAMES[model]} has none here: {reason}", ""]
    return lines


def criterion_text(c: dict[str, Any]) -> str:
    """A criterion with its penalty and its unreliable points."""
    extra = []
    if c["effective_parameters"] is not None:
        extra.append(f"penalty {c['effective_parameters']:,.0f}")
    if c["unreliable_share"]:
        extra.append(f"{c['unreliable_share']:.1%} of points unreliable")
    return f"{c['value']:,.0f}" + (f" ({', '.join(extra)})" if extra else "")


def placebo_section(rows: list[dict[str, Any]], unit: str, level: str = "##", note: str = "") -> list[str]:
    """Table 8: refits on exchanged histories."""
    body = [
        [
            r["channel_id"],
            shown(r["actual_estimate"], 3),
            shown(r["estimate"], 3),
            shown(r["p_value"], 3),
            "-"
            if r["false_positive_rate"] is None
            else f"{r['false_positive_rate']:.1%} ({r['false_positive_rate_lower']:.1%} to "
            f"{r['false_positive_rate_upper']:.1%})",
            shown(r["smallest_detectable_effect"], 3),
            _size_text(r),
        ]
        for r in rows
    ]
    header = ["channel", "actual slope", "mean placebo slope", "p", "false positives", "detectable at 80 %"]
    return [
        f"{level} Table 8: placebo{note}",
        "",
        f"Exposure histories exchanged whole between consumers of one market and propensity stratum, "
        f"{max(r['replicates_count'] for r in rows)} refits; {unit}.",
        "",
        *table([*header, "size as claimed"], body),
        "p is (1 + placebos at least as large as the actual estimate) / (refits + 1): it cannot be below "
        f"{1 / (1 + max(r['replicates_count'] for r in rows)):.4f}. False positives: share of refits whose own 95 % "
        "interval excludes zero, with its interval, a guide only, since all refits share one outcome; the size is "
        "not as claimed where that interval lies above 5 %. A small p does not clear an effect of bias by what changes "
        "over time.",
        "",
    ]


def _size_text(row: dict[str, Any]) -> str:
    """Whether intervals have the size they claim; where not, what that means for this row."""
    if row["passed"] is not False:
        return {True: "yes", None: "not evaluated"}[row["passed"]]
    return (
        f"**no**: on exchanged histories, where no effect can be, its intervals exclude zero in "
        f"{row['false_positive_rate']:.1%} of the refits instead of 5 %, so that an interval of this channel that just "
        "excludes zero is weaker evidence than it claims; its p compares refits and does not rest on intervals"
    )


def robustness_section(
    f: dict[str, Any], picture: str, note: str, level: str = "##", prefix: str = "hbmmm_paper"
) -> list[str]:
    """Figure 6 and its numbers. picture: name of the file after the prefix."""
    shift = ", ".join(f"{c} {v:.1f}" for c, v in f["largest_shift_in_baseline_sds"].items())
    channels = len(f["largest_shift_in_baseline_sds"])
    return [
        f"{level} Figure 6: robustness{note}",
        "",
        f"![Figure 6: robustness]({prefix}_{picture}.png)",
        "",
        f"{f['specifications']} specifications were run ({f['not_run']} more were not possible here), slopes in "
        f"{f['unit']}: {f['largest_channel']}, largest in the baseline, is largest in {f['largest_channel_in']}, the "
        f"order of all {channels} channels is the baseline's in {f['same_order_in']}, all slopes are positive in "
        f"{f['all_positive_in']}. Largest shifts in standard deviations of the baseline: {shift}.",
        "",
    ]
