"""Which rows are identified: the placebo decides, a missing placebo is no pass, reasons are whole sentences."""

import numpy as np
import pandas as pd
import pytest

from assets.identification import (
    NO_INTERVAL,
    lead_placebo_reasons,
    mark_identified,
    unexposed_rows,
    withhold_without_interval,
)

PLACEBO = pd.DataFrame(
    {
        "placebo_kind": ["lead", "lead", "lead", "history_swap"],
        "channel_id": ["mail", "push", "tv", "mail"],
        "estimate": [2.5, 0.01, np.nan, 0.0],
        "standard_error": [0.5, 0.4, np.nan, 0.1],
        "p_value": [0.0000006, 0.98, np.nan, 0.5],
        "passed": pd.Series([False, True, None, True], dtype=object),
        "reason": ["predicts purchases now", None, "3 rows have a later exposure", None],
    }
)


def effects(channels, **columns):
    return pd.DataFrame({"channel_id": channels, "estimand": "slope", "mean": 1.0} | columns)


def test_reasons_of_the_three_outcomes():
    reasons = lead_placebo_reasons(PLACEBO, ["mail", "push", "tv", "radio"])
    assert reasons["push"] is None
    assert reasons["mail"] == (
        "lead placebo failed: estimate 2.5 (se 0.5, p 6e-07): exposure is related to purchases BEFORE it happens"
    )
    assert reasons["tv"] == "lead placebo not evaluated: 3 rows have a later exposure"
    assert reasons["radio"] == "lead placebo not evaluated: no result"


@pytest.mark.parametrize("dtype", [object, "boolean"])
def test_a_missing_verdict_is_no_pass_whatever_pandas_made_of_it(dtype):
    table = PLACEBO.iloc[[1, 2]].assign(passed=pd.Series([True, None], index=[1, 2]).astype(dtype))
    reasons = lead_placebo_reasons(table, ["push", "tv"])
    assert reasons["push"] is None
    assert reasons["tv"] is not None


def test_a_passed_swap_does_not_rescue_a_failed_lead():
    assert "lead placebo failed" in lead_placebo_reasons(PLACEBO, ["mail"])["mail"]


def test_marks_keep_the_reason_of_the_family_first():
    marked = mark_identified(
        effects(["mail", "push", "push"], not_identified_reason=[None, None, "exposure does not vary"]),
        {"mail": "lead placebo failed: x", "push": None},
    )
    assert marked["is_identified"].tolist() == [False, True, False]
    assert marked["not_identified_reason"].tolist() == [
        "lead placebo failed: x",
        None,
        "exposure does not vary",
    ]


def test_a_channel_unknown_to_the_placebo_is_not_identified():
    marked = mark_identified(effects(["radio"]), {})
    assert marked["is_identified"].tolist() == [False]


def test_declared_channels_without_exposure_get_a_row_without_a_number():
    table = effects(
        ["mail"], method="hbmmm", model_name="hbmmm", kpi="gmv_net_amount", unit="EUR per exposure"
    )
    rows = unexposed_rows(table, ["mail", "radio"])
    assert rows["channel_id"].tolist() == ["radio"]
    assert rows["not_identified_reason"].tolist() == ["no exposure of any consumer"]
    assert "mean" not in rows


def test_a_number_without_an_interval_around_it_is_withheld():
    numbers = {"standard_deviation": 1.0, "probability_positive": 0.8}
    table = effects(
        ["mail", "push", "tv", "radio"],
        interval_lower=[0.0, np.nan, 2.0, np.nan],
        interval_upper=[2.0, np.nan, 3.0, np.nan],
        not_identified_reason=[np.nan, np.nan, "trimmed", "none exposed"],
        **numbers,
    )
    table.loc[3, ["mean", *numbers]] = np.nan
    found = withhold_without_interval(table)
    assert found["mean"].notna().tolist() == [True, False, False, False]
    assert found["interval_lower"].notna().tolist() == [True, False, False, False]
    reasons = [None, NO_INTERVAL, f"trimmed; {NO_INTERVAL}", "none exposed"]
    assert found["not_identified_reason"].tolist() == reasons
