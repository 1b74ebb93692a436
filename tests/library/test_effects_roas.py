"""ROAS: contribution over spend, and refused with a reason that says what is missing."""

import numpy as np
import pandas as pd
import pytest

from models.effects.roas import NO_SPEND, Spend, roas_rows, total_spend


def test_roas_divides_by_spend_and_is_refused_without():
    table = pd.DataFrame(
        {
            "channel_id": ["mail", "push", "tv"],
            "estimand": "contribution",
            "mean": 1.0,
            "standard_deviation": 0.1,
            "interval_lower": 0.8,
            "interval_upper": 1.2,
            "probability_positive": 0.99,
            "is_identified": True,
            "not_identified_reason": None,
        }
    )
    spend = {"mail": Spend(0.5), "push": Spend(None, "for 1 of 3 market-periods")}
    rows = roas_rows(table, spend).set_index("channel_id")
    assert rows.loc["mail", ["mean", "interval_lower", "interval_upper"]].tolist() == [2.0, 1.6, 2.4]
    assert rows.loc["mail", "is_identified"]
    for channel, reason in (("push", "for 1 of 3 market-periods"), ("tv", NO_SPEND)):
        assert pd.isna(rows.loc[channel, "mean"])
        assert not rows.loc[channel, "is_identified"]
        assert rows.loc[channel, "not_identified_reason"] == reason


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ([1.0, 2.0], Spend(3.0)),
        ([1.0, np.nan, 2.0], Spend(None, "no spend in marketing_activities for 1 of 3 market-periods")),
        ([np.nan, np.nan], Spend(None, "no spend in marketing_activities")),
        ([], Spend(None, "no spend in marketing_activities")),
        ([0.0, 0.0], Spend(None, "spend in marketing_activities adds up to 0")),
    ],
)
def test_spend_is_known_whole_or_not_at_all(amounts, expected):
    assert total_spend(pd.Series(amounts, dtype=float)) == expected
