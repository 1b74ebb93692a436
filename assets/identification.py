"""Row-level evidence: which effect rows are identified, and if not, why. Plain functions on frames.

The lead placebo decides (design, section 4): exposure must not be related to purchases of *earlier* periods
once consumer and period are held fixed. A placebo that could not be evaluated is no pass. Rows are
published all the same, marked.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from assets.status import NO_EXPOSURE

if TYPE_CHECKING:
    import pandas as pd

LEAD_PLACEBO = "lead"
NO_INTERVAL = "resampled consumers give no interval around the estimate"


def lead_placebo_reasons(placebo_results: "pd.DataFrame", channels: Iterable[str]) -> dict[str, str | None]:
    """Channel -> None where the lead placebo passed, else the reason why its effects are not identified."""
    leads = placebo_results[placebo_results["placebo_kind"].str.startswith(LEAD_PLACEBO)]
    reasons: dict[str, str | None] = {}
    for channel in channels:
        rows = leads[leads["channel_id"] == channel]
        passed = [_truth(value) for value in rows["passed"]]
        if False in passed:
            row = rows.iloc[passed.index(False)]
            reasons[channel] = (
                f"lead placebo failed: estimate {row['estimate']:.3g} (se {row['standard_error']:.2g}, "
                f"p {row['p_value']:.2g}): exposure is related to purchases BEFORE it happens"
            )
        elif not passed or None in passed:
            why = next((str(text) for text in rows["reason"] if isinstance(text, str) and text), "no result")
            reasons[channel] = f"lead placebo not evaluated: {why}"
        else:
            reasons[channel] = None
    return reasons


def mark_identified(effects: "pd.DataFrame", reasons: Mapping[str, str | None]) -> "pd.DataFrame":
    """Set is_identified and not_identified_reason; a reason that the family itself gave comes first."""
    import pandas as pd

    marked = effects.copy()
    if "not_identified_reason" not in marked:
        marked["not_identified_reason"] = None
    own = marked["not_identified_reason"].astype(object).where(marked["not_identified_reason"].notna(), None)
    missing = "lead placebo not evaluated: no result"
    placebo = [reasons.get(channel, missing) for channel in marked["channel_id"]]
    combined = ["; ".join(filter(None, pair)) or None for pair in zip(own, placebo, strict=True)]
    marked["not_identified_reason"] = pd.Series(combined, index=marked.index, dtype=object)
    marked["is_identified"] = [reason is None for reason in combined]
    return marked


def withhold_without_interval(effects: "pd.DataFrame") -> "pd.DataFrame":
    """Rows whose interval is missing or does not hold the mean lose their numbers, and the reason says so."""
    kept = effects.copy()
    lacking = kept["mean"].notna() & ~kept["mean"].between(kept["interval_lower"], kept["interval_upper"])
    numbers = ["mean", "standard_deviation", "interval_lower", "interval_upper", "probability_positive"]
    kept.loc[lacking, numbers] = float("nan")
    reasons = kept["not_identified_reason"].astype(object)
    why = [f"{old}; {NO_INTERVAL}" if isinstance(old, str) else NO_INTERVAL for old in reasons[lacking]]
    reasons[lacking] = why
    kept["not_identified_reason"] = reasons.where(reasons.notna(), None)
    return kept


def unexposed_rows(effects: "pd.DataFrame", declared: Iterable[str]) -> "pd.DataFrame":
    """A ``slope`` row without a number, for every declared channel that no consumer was exposed to."""
    import pandas as pd

    templates = effects[effects["estimand"] == "slope"].drop_duplicates(["model_name", "method", "kpi"])
    present = set(effects["channel_id"])
    kept = ["estimand", "method", "model_name", "kpi", "horizon", "exposure_distribution", "interval_level"]
    rows = [
        {name: row[name] for name in [*kept, "unit", "is_primary"] if name in effects}
        | {"channel_id": channel, "is_identified": False, "not_identified_reason": NO_EXPOSURE}
        for channel in sorted(set(declared) - present)
        for _, row in templates.iterrows()
    ]
    return pd.DataFrame(rows)


def _truth(value: object) -> bool | None:
    """True, False, or None for anything missing, from whatever pandas made of a nullable boolean."""
    return None if value is None or str(value) in ("<NA>", "nan", "None") else bool(value)
