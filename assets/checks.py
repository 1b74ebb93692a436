"""Asset checks of the fits: always emitted, with three outcomes.

Dagster knows passed and not passed only. A check that could not be evaluated is emitted as not passed with
severity WARN, and metadata ``outcome`` says ``not_evaluated``.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from models.outcomes import NOT_EVALUATED, PASSED

if TYPE_CHECKING:
    import pandas as pd

CONVERGED = dg.AssetCheckSpec(
    "converged",
    asset=keys.HBMMM_POSTERIOR,
    description="Every global parameter: R-hat and effective sample size within bounds, no divergence.",
)
LEAD_PLACEBO_IS_NULL = dg.AssetCheckSpec(
    "lead_placebo_is_null",
    asset=keys.PLACEBO_RESULTS,
    description="Future exposure is unrelated to present purchases, for every channel.",
)
OVERLAP_IS_SUFFICIENT = dg.AssetCheckSpec(
    "overlap_is_sufficient",
    asset=keys.OVERLAP,
    description="Exposed and unexposed consumers can be compared, for every channel.",
)
RESPONSE_CONVERGED = dg.AssetCheckSpec(
    "converged",
    asset=keys.RESPONSE_POSTERIOR,
    description="Every sampled parameter: R-hat and effective sample size within bounds, no divergence, E-BFMI.",
)
CONTRIBUTIONS_ADD_UP = dg.AssetCheckSpec(
    "contributions_add_up",
    asset=keys.RESPONSE_ESTIMATES,
    description="Contributions and baseline are the expected GMV, in every draw and in the published rows.",
)
BASELINE_IS_SANE = dg.AssetCheckSpec(
    "baseline_is_sane",
    asset=keys.RESPONSE_ESTIMATES,
    description="Expected GMV is near the observed, and the baseline is not negative.",
)
DATA_MOVED_PRIORS = dg.AssetCheckSpec(
    "data_moved_priors",
    asset=keys.RESPONSE_ESTIMATES,
    description="The effect of every channel is more than its prior: the data narrowed or moved it.",
)
ROI_IS_PLAUSIBLE = dg.AssetCheckSpec(
    "roi_is_plausible",
    asset=keys.RESPONSE_ESTIMATES,
    description="No channel's return on investment lies in the outer hundredths of its prior.",
)
RESPONSE_ESTIMATE_CHECKS = (CONTRIBUTIONS_ADD_UP, BASELINE_IS_SANE, DATA_MOVED_PRIORS, ROI_IS_PLAUSIBLE)
RESPONSE_GATE_IS_PASSED = dg.AssetCheckSpec(
    "response_gate_is_passed",
    asset=keys.GATE_CHECKS,
    description="Every model-level check of the response model passed; else no new champion.",
)
GATE_IS_PASSED = dg.AssetCheckSpec(
    "gate_is_passed",
    asset=keys.GATE_CHECKS,
    description="Every model-level check of the HBMMM passed; else no new champion.",
)


def check_result(
    spec: dg.AssetCheckSpec,
    outcome: str,
    text: str,
    *,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
    **metadata: Any,
) -> dg.AssetCheckResult:
    """Emit an outcome; only ``passed`` counts as passed, and what was not evaluated warns."""
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=outcome == PASSED,
        severity=dg.AssetCheckSeverity.WARN if outcome == NOT_EVALUATED else severity,
        description=text,
        metadata={"outcome": outcome, **metadata},
    )


def markdown(frame: "pd.DataFrame", most_rows: int = 40) -> dg.MarkdownMetadataValue:
    """A table as Dagster metadata: at most ``most_rows`` rows, numbers to four digits."""
    shown = frame.head(most_rows)
    lines = ["| " + " | ".join(map(str, shown.columns)) + " |", "|" + " --- |" * len(shown.columns)]
    for row in shown.itertuples(index=False):
        lines.append("| " + " | ".join(_cell(value) for value in row) + " |")
    if len(frame) > most_rows:
        lines.append(f"\n{len(frame) - most_rows} more rows")
    return dg.MetadataValue.md("\n".join(lines))


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """A small PNG inside Dagster metadata."""
    import base64

    return dg.MetadataValue.md(f"![figure](data:image/png;base64,{base64.b64encode(png).decode()})")


def _cell(value: Any) -> str:
    from pandas import isna

    if isna(value):
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
