"""docs/studies/hbmmm_paper.md from the study's JSON: every figure in it is read from there."""

from __future__ import annotations

from typing import Any

from benchmarks.paper_journey_page import complete_journey
from benchmarks.paper_parts_page import (
    between,
    criteria_lines,
    is_converged,
    placebo_section,
    ran_text,
    robustness_section,
    sampler_text,
    scores_table,
    shown,
    table,
    verdict_text,
)


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    lines = [
        "# The paper's tables and figures",
        "",
        f"{ran_text(content, content['simulated_seconds'])} Seed {content['seed']}.",
        "",
        "Tables 5 to 8 and Figures 3 to 6 of Ni et al. 2023, computed from two simulated worlds whose truth is known. "
        f"*Bulk*: {content['consumers']:,} consumers of 24 months in 50 markets, log1p of dollars linear in z-scored "
        "exposures with Table 6's numbers, exposures that follow a hidden propensity (models/simulate/"
        f"consumer_months). *People*: {content['people']:,} consumers with ages, incomes and segments that respond "
        "more, amounts cut at zero (models/simulate/consumers, outcome log1p). The paper's data are not public: "
        "its own numbers stand beside ours for comparison, not as a target.",
        "",
        *_table_5(content["table_5"]),
        *_table_6(content["table_6"], content["sampler"]),
        *_table_7(content["table_7"]),
        *placebo_section(content["table_8"], "log points per sd of exposures"),
        *robustness_section(content["figure_6"], "figure_6", ", bulk world"),
        *_people(content["segments"], content["segments_sampler"], content["learned_share"]),
        *complete_journey(content.get("complete_journey")),
        *_contradictions(content["contradictions"]),
    ]
    return "\n".join(lines) + "\n"


def _moments(row: dict[str, Any], label: str) -> list[str]:
    return [shown(row.get(f"{label}_{k}")) for k in ("mean", "sd", "min", "max")]


def _table_5(rows: list[dict[str, Any]]) -> list[str]:
    labels = ("paper", "bulk", "people")
    header = ["variable", *(f"{label}: {k}" for label in labels for k in ("mean", "sd", "min", "max"))]
    body = [[r["variable"], *(v for label in labels for v in _moments(r, label))] for r in rows]
    return [
        "## Table 5: summary statistics",
        "",
        *table(header, body),
        "Exposures, age and income are drawn to the paper's means and standard deviations. Amounts cannot be: normal "
        "log1p dollars with Table 6's intercept average far less than Table 5's (see the contradictions below). In the "
        "bulk world log1p dollars can be negative, so that its least amount lies below 0.",
        "",
    ]


def _table_6(rows: list[dict[str, Any]], sampler: dict[str, Any]) -> list[str]:
    body = [
        [
            r["parameter"],
            shown(r["truth"]),
            shown(r["mean"]),
            between(r["lower"], r["upper"]),
            "yes" if r["covers_truth"] else "**no**",
            f"{r['r_hat']:.4f}",
            shown(r["ess_bulk"]),
            shown(r["ess_tail"]),
            shown(r["paper"]),
            between(r["paper_lower"], r["paper_upper"]),
        ]
        for r in rows
    ]
    met = is_converged(sampler)
    header = [
        "parameter",
        "truth",
        "mean",
        "95 % interval",
        "covers",
        "R-hat",
        "bulk ESS",
        "tail ESS",
        "paper",
    ]
    return [
        "## Table 6: posterior estimates, bulk world",
        "",
        *table([*header, "paper's interval"], body),
        f"{sum(r['covers_truth'] for r in rows)} of {len(rows)} intervals hold the truth. "
        f"{sampler_text(sampler)} R-hat below 1.01 and bulk and tail ESS above 1,000 for every one of the "
        f"{sampler['parameters']} parameters: {'**met**' if met else '**not met**'}. Slopes are log points per "
        "standard deviation of exposures (Table 5); sigma is the spread of consumers within a market.",
        "",
        "![Figure 3: posterior densities](hbmmm_paper_figure_3.png)",
        "",
        "*Figure 3.*",
        "",
    ]


def _table_7(t: dict[str, Any]) -> list[str]:
    by = {r["model_name"]: r for r in t["scores"]}
    return [
        "## Table 7: model comparison, bulk world",
        "",
        f"Fitted on months 1 to 18, scored on {t['rows']:,} consumer-months held out ({t['split']}); log1p of dollars.",
        "",
        *scores_table(t["scores"], True),
        f"The cut of {by['hbmmm']['rmse_cut']:.1%} belongs to a noise of {t['noise_sd']} log points, where the "
        f"oracle's is {by['oracle']['rmse_cut']:.1%}; the paper's 30.4 % says nothing without its noise.",
        "",
        f"Acceptance: RMSE of the HBMMM within 1 % of the predictor that knows the true hyper-parameters: "
        f"{t['hbmmm_over_known_population']:+.2%}, {verdict_text(t['passes'], t['sampler'])}. "
        f"{sampler_text(t['sampler'])}",
        "",
        *criteria_lines(t, "training months"),
    ]


def _people(rows: list[dict[str, Any]], sampler: dict[str, Any], learned: dict[str, float]) -> list[str]:
    own = ", ".join(f"{channel} {share:.1%}" for channel, share in learned.items())
    body = [
        [
            f"{r['segment']} ({r['consumers']:,})",
            f"**{r['channel']}**" if r["responds"] else r["channel"],
            shown(r["inside"], 3),
            shown(r["others"], 3),
            shown(r["difference"], 3),
            between(r["lower"], r["upper"]),
            shown(r["truth"], 3),
            "yes" if r["covers_truth"] else "**no**",
            "yes" if r["excludes_zero"] else "no",
        ]
        for r in rows
    ]
    claims = [r for r in rows if r["responds"]]
    others = [r for r in rows if not r["responds"]]
    found = [r["segment"] for r in claims if r["excludes_zero"] and r["difference"] > 0]
    header = [
        "segment (consumers)",
        "channel",
        "inside",
        "others",
        "difference",
        "95 % interval",
        "truth",
        "covers",
    ]
    return [
        "## Figures 4 and 5 and section 5.1: people and segments",
        "",
        "![Figure 4: amounts and exposures by age](hbmmm_paper_figure_4.png)",
        "",
        "![Figure 5: individual effects](hbmmm_paper_figure_5.png)",
        "",
        "*Figure 5: in this world everybody buys once a month, so that past frequency says nothing; the amount of the "
        "three months before the panel stands in for it.* Share of the variance of a consumer's own deviation that "
        f"its own months remove, on average: {own}. What they do not decide is its segment's and market's. Section 5.1 "
        "finds TV stronger at 55 and more, social at 18 to 34, email at high incomes; this world was drawn so (bold). "
        "Mean slopes inside a segment and of everybody else, log points per sd of exposures:",
        "",
        *table([*header, "excludes zero"], body),
        f"{len(found)} of {len(claims)} claims of section 5.1 are found with 95 % certainty"
        f"{' (' + ', '.join(found) + ')' if found else ''}; {sum(r['covers_truth'] for r in rows)} of {len(rows)} "
        f"intervals hold the truth; of the {len(others)} other pairs, whose differences are drawn by chance and "
        f"markets, {sum(r['excludes_zero'] for r in others)} exclude zero. {sampler_text(sampler)}",
        "",
    ]


def _contradictions(found: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Where the paper contradicts itself",
        "",
        "Each figure is computed from the printed tables by benchmarks/paper_published.py.",
        "",
    ]
    for number, one in enumerate(found, start=1):
        lines += [f"{number}. **{one['title']}.** {one['found']} *Chosen:* {one['chosen']}", ""]
    return lines
