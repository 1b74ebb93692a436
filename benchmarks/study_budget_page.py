"""What the study of budgets prints (study_budget.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def summary(found: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a kind, variant and rule: worlds, how many are not worse in truth, gains in shares of the planned spend,
    regret in shares of what the best allocation brings, how many intervals hold the true gain."""
    rows = []
    for key in dict.fromkeys(
        (one["kind"], one["variant"], row["rule"]) for one in found for row in one["rows"]
    ):
        chosen = [
            (one, row)
            for one in found
            for row in one["rows"]
            if (one["kind"], one["variant"], row["rule"]) == key
        ]
        true = np.array([row["true_gain"] / one["spend"] for one, row in chosen])
        best = np.array([row["best_gain"] / one["spend"] for one, row in chosen])
        regret = [
            (row["best_gain"] - row["true_gain"]) / (one["contribution"] + row["best_gain"])
            for one, row in chosen
        ]
        has_fit = "predicted" in chosen[0][1]
        held = (
            [row["interval"][0] <= row["true_gain"] <= row["interval"][1] for _, row in chosen]
            if has_fit
            else []
        )
        rows.append(
            {
                "kind": key[0],
                "variant": key[1],
                "rule": key[2],
                "worlds": len(chosen),
                "not_worse": int((true >= 0).sum()),
                "predicted_gain": float(np.mean([r["predicted"] / one["spend"] for one, r in chosen]))
                if has_fit
                else None,
                "true_gain": float(true.mean()),
                "least_true_gain": float(true.min()),
                "best_gain": float(best.mean()),
                "regret": float(np.mean(regret)),
                "largest_regret": float(np.max(regret)),
                "held": int(np.sum(held)) if has_fit else None,
                "largest_gap": max(r["gap"] for _, r in chosen) if has_fit else None,
            }
        )
    return pd.DataFrame(rows)


def page(content: dict[str, Any]) -> str:
    """The Markdown page."""
    where, weeks = content["provenance"], content["weeks"]
    lines = [
        "# Budgets: decided on a fit, judged by the truth",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores. Worlds and seeds: "
        "models/simulate/market_studies.py, fixed before any estimator ran: 20 markets, 156 weeks, 5 channels. "
        f"{weeks['fitted']} weeks are fitted (defaults of ResponseConfig; normal approximation at the mode, "
        f"{content['draws']} draws, not NUTS), {weeks['planned']} planned, {weeks['later']} later ones count what the "
        "plan leaves behind. The current allocation is what the world spent in the planned weeks; every amount may "
        "move by half, the total stays.",
        "",
        "Gains of GMV over the current allocation per money of the planned spend: as the fit predicted, in truth (the "
        "world's own expectation under the plan), the least of all worlds, and what the best allocation within the "
        "bounds gains, found with the true curves. Regret: what the best one brings more, over all that it brings. "
        "Interval: worlds in which the 90 % interval of the gain holds the true one. Gap: the most that the search may "
        "have missed (duality), over what the current plan brings, worst world. Rules: the expected gain; the mean "
        "gain in the worst fifth of draws; by channel and market; and, for scale, money moved to the highest recorded "
        "ROI as far as the bounds allow.",
        "",
        "| kind | variant | rule | not worse | predicted | true | least | best | regret | largest | interval | gap |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in content["summary"]:
        has_fit = row["held"] is not None and not pd.isna(row["held"])
        predicted = f"{row['predicted_gain']:.3f}" if has_fit else "–"
        held = f"{row['held']:.0f} of {row['worlds']}" if has_fit else "–"
        gap = f"{row['largest_gap']:.1e}" if has_fit else "–"
        lines.append(
            f"| {row['kind']} | {row['variant']} | {row['rule']} | {row['not_worse']} of {row['worlds']} | {predicted} "
            f"| {row['true_gain']:.3f} | {row['least_true_gain']:.3f} | {row['best_gain']:.3f} | {row['regret']:.4f} "
            f"| {row['largest_regret']:.4f} | {held} | {gap} |"
        )
    return "\n".join(lines) + "\n"
