"""The section on Complete Journey of docs/studies/hbmmm_paper.md."""

from __future__ import annotations

from typing import Any

from benchmarks.paper_parts_page import (
    best_model,
    between,
    criteria_lines,
    placebo_section,
    ran_text,
    robustness_section,
    sampler_text,
    scores_table,
    shown,
    table,
)


def complete_journey(c: dict[str, Any] | None) -> list[str]:
    """All of it, or that it was not run."""
    if c is None:
        return ["## Complete Journey", "", "Not run: no home was given (HOME_DIR=).", ""]
    summary = [
        [k, *(shown(v[s]) for s in ("mean", "sd", "min", "max", "count"))] for k, v in c["table_5"].items()
    ]
    slopes = [
        [
            r["channel_id"],
            shown(r["mean"]),
            between(r["interval_lower"], r["interval_upper"]),
            shown(r["r_hat"], 5),
            shown(r["ess"]),
        ]
        for r in c["table_6"]
    ]
    spread = [[r["channel_id"], shown(r["mean"]), between(r["lower"], r["upper"])] for r in c["own_spread"]]
    t7 = c["table_7"]
    s = t7["sampler"]
    return [
        "## Complete Journey",
        "",
        f"{ran_text(c, c['seconds'])} {c['households']:,} households, {c['rows']:,} household-weeks to "
        f"{c['as_of_date']}, net amounts in dollars. No truth is known here, and whether an effect is identified is "
        "not for these tables to say "
        "(see is_identified in reporting.channel_effects).",
        "",
        "### Table 5",
        "",
        *table(["variable", "mean", "sd", "min", "max", "known values"], summary),
        f"### Table 6: the home's fit of all households ({c['fit_fingerprint']}), dollars per exposure",
        "",
        *table(["channel", "mean slope", "95 % interval", "R-hat", "ESS"], slopes),
        f"{sampler_text(c['sampler'])} Spread of households' own slopes (consumer_sd):",
        "",
        *table(["channel", "mean", "95 % interval"], spread),
        "![Figure 3: posterior densities](hbmmm_paper_journey_figure_3.png)",
        "",
        "*Figure 3. Of the paper's population parameters only spreads are defined here: the home's fit has a concave "
        "exposure column beside the count and one noise a stratum of spend, so that no single mu, sigma_alpha and "
        "sigma_epsilon stand for it. Markets, households and averages are coefficients of the count alone; in the "
        "concave column households differ only as their characteristics do, and Table 6's slopes hold both.*",
        "",
        "![Figure 5: individual effects](hbmmm_paper_journey_figure_5.png)",
        "",
        f"*Figure 5: households' own slopes (posterior means), and against age, income and past purchases, which "
        f"{c['households_known']:,} households have all recorded.* Share of the variance of a household's own "
        "deviation that its own weeks remove, on average: "
        + ", ".join(f"{channel} {share:.1%}" for channel, share in c["learned_share"].items())
        + ".",
        "",
        f"### Table 7: last weeks held out, {c['sample_households']:,} households",
        "",
        f"{t7['rows']:,} household-weeks ({t7['split']}), dollars, of the {c['sample_markets']} largest markets, so "
        f"that the study ends in minutes. HBMMM on two completed data sets with {s['draws_a_chain']} draws a chain: "
        f"largest R-hat {s['r_hat_max']:.3f}, least bulk ESS {s['ess_bulk_min']:,.0f}, {s['divergences']} divergences.",
        "",
        *scores_table(t7["scores"], False),
        f"Smallest RMSE: {best_model(t7['scores'], 'rmse')}; smallest CRPS: {best_model(t7['scores'], 'crps')}. "
        "Seasonal naive has no year before it here: it gives the household's own mean.",
        "",
        *criteria_lines(t7, "training weeks of these households"),
        *placebo_section(
            c["table_8"], "dollars per exposure", "###", f", the same {c['sample_households']:,} households"
        ),
        *robustness_section(c["figure_6"], "journey_figure_6", ", the home's fit of all households", "###"),
    ]
