"""Return on ad spend: money that a channel brought over money that was spent on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

NO_SPEND = "no spend in marketing_activities"


@dataclass(frozen=True)
class Spend:
    """Money spent on a channel, or why it is not known."""

    amount: float | None
    reason: str | None = None


def total_spend(amounts: pd.Series) -> Spend:
    """The sum of the spend of market-periods, refused where one of them is unknown or nothing was spent."""
    known = amounts.astype("float64").dropna()
    if known.empty:
        return Spend(None, NO_SPEND)
    if len(known) < len(amounts):
        gaps = len(amounts) - len(known)
        return Spend(None, f"{NO_SPEND} for {gaps} of {len(amounts)} market-periods")
    if not known.sum() > 0:
        return Spend(None, f"spend in marketing_activities adds up to {known.sum():g}")
    return Spend(float(known.sum()))


def roas_rows(effects: pd.DataFrame, spend: Mapping[str, Spend]) -> pd.DataFrame:
    """ROAS = contribution / spend, per channel and method; refused, with the reason, where spend is unknown.

    The contribution is that of the panel's rows; the spend is all of the channel's after the pre-period, in every
    market and period, whether or not a panel row belongs to it: where the panel covers part of the customers,
    ROAS is too small by what the others bought.
    """
    amounts = ("mean", "standard_deviation", "interval_lower", "interval_upper")
    rows = []
    for _, contribution in effects[effects["estimand"] == "contribution"].iterrows():
        row = contribution.to_dict() | {"estimand": "roas", "unit": "ratio"}
        spent = spend.get(row["channel_id"], Spend(None, NO_SPEND))
        if spent.amount:
            row |= {name: row[name] / spent.amount for name in amounts}
        else:
            row |= dict.fromkeys((*amounts, "probability_positive"), None)
            row |= {"is_identified": False, "not_identified_reason": spent.reason}
        rows.append(row)
    return pd.DataFrame(rows)
