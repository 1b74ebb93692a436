"""Is what the report says to be trusted? Every check of a refresh, counted by its outcome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.outcomes import FAILED, NOT_EVALUATED, PASSED, outcome_of
from models.report.tables import ReportTables

COLUMNS = ("group", "name", "outcome", "text")
MODEL, FAMILY, PLACEBO, ROBUSTNESS, COMPARISON = "model", "family", "placebo", "robustness", "comparison"
REFERENCES = ("pooled_ols", "seasonal_naive")  # a model worse than one of these predicts nothing worth having
GROUP_WORDS = {
    MODEL: "checks of the model",
    FAMILY: "families of models",
    PLACEBO: "placebos",
    ROBUSTNESS: "other specifications",
    COMPARISON: "predictions of held-out rows",
}


@dataclass(frozen=True, slots=True, eq=False)
class Health:
    """checks: one row a check (COLUMNS). counts: outcome -> number."""

    checks: pd.DataFrame
    counts: dict[str, int]

    @property
    def is_sound(self) -> bool:
        """Every check was made, and passed."""
        return self.counts[FAILED] == 0 and self.counts[NOT_EVALUATED] == 0 and self.counts[PASSED] > 0

    @property
    def summary(self) -> str:
        """One sentence for the first screen."""
        total = sum(self.counts.values())
        if total == 0:
            return "No check was made: nothing here has been tested."
        failed, unknown = self.counts[FAILED], self.counts[NOT_EVALUATED]
        if failed == 0 and unknown == 0:
            return f"All {total} checks passed."
        parts = [f"{failed} of {total} checks failed"] if failed else []
        if unknown:
            parts.append(f"{unknown} of {total} were not evaluated, which is not a pass")
        return "; ".join(parts) + "."


def judge(tables: ReportTables) -> Health:
    """All checks of the tables (of one refresh)."""
    parts = [_gate(tables.gate_checks), _families(tables.family_status), _placebos(tables.placebo_results)]
    parts += [_robustness(tables.robustness_checks), _comparison(tables.model_comparison)]
    rows = [row for part in parts for row in part]
    checks = pd.DataFrame(rows, columns=list(COLUMNS))
    outcomes = checks["outcome"].value_counts()
    return Health(checks, {name: int(outcomes.get(name, 0)) for name in (PASSED, FAILED, NOT_EVALUATED)})


def _gate(table: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    return [(MODEL, r.check_name, r.outcome, r.text) for r in table.itertuples(index=False)]


def _families(table: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Families that did not run; one that ran is judged by its own checks."""
    silent = table[table["status"].eq(NOT_EVALUATED)]
    return [(FAMILY, r.family, NOT_EVALUATED, str(r.reason)) for r in silent.itertuples(index=False)]


def _placebos(table: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    rows = []
    for row in table.itertuples(index=False):
        passed = None if pd.isna(row.passed) else bool(row.passed)
        text = str(row.reason) if isinstance(row.reason, str) else f"p {row.p_value:.2g}"
        rows.append((PLACEBO, f"{row.placebo_kind}: {row.channel_id}", outcome_of(passed), text))
    return rows


def _robustness(table: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Specifications as a whole: refits show how much depends on choices, they have no verdict of their own."""
    if table.empty:
        return []
    made = int(table.loc[table["mean"].notna(), "specification"].nunique())
    if made == 0:
        reasons = table["reason"].dropna().unique()
        return [(ROBUSTNESS, "refits", NOT_EVALUATED, str(reasons[0]) if len(reasons) else "")]
    slopes = table[table["estimand"].eq("slope") & table["sign_holds"].notna()]
    turned = sorted(slopes.loc[~slopes["sign_holds"].astype(bool), "channel_id"].unique())
    text = f"{made} specifications"
    text += f"; the sign of {', '.join(turned)} turns in some" if turned else "; no sign turns in any"
    return [(ROBUSTNESS, "signs of effects", outcome_of(not turned), text)]


def _comparison(table: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    if table.empty:
        return []
    errors = table[table["metric"].eq("rmse") & table["split_kind"].ne("fitted_rows")]
    if errors.empty or errors["value"].isna().all():
        reasons = table["reason"].dropna().unique()
        return [(COMPARISON, "held-out rows", NOT_EVALUATED, str(reasons[0]) if len(reasons) else "no rows")]
    means = errors.groupby("method")["value"].mean().sort_values()
    best, primary = str(means.index[0]), "hbmmm"
    references = [name for name in REFERENCES if np.isfinite(means.get(name, np.nan))]
    if not np.isfinite(means.get(primary, np.nan)) or not references:
        text = "the primary model or every simple rival has no prediction"
        return [(COMPARISON, "held-out rows", NOT_EVALUATED, text)]
    text = f"root mean square error {means[primary]:.4g}; least: {best} {means.iloc[0]:.4g}"
    passed = bool((means[primary] <= means[references]).all())
    return [(COMPARISON, "held-out rows", outcome_of(passed), text)]
