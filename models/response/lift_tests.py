"""Lift tests as the input contract has them: what a test added, where and when, and what it is said to have brought."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.panel_columns import require_columns

COLUMNS = (
    "lift_test_id",
    "channel_ids",
    "market_ids",
    "start_date",
    "end_date",
    "spend_delta_amount",
    "exposures_delta_count",
    "lift_amount",
    "lift_standard_error",
    "kpi",
)


@dataclass(frozen=True, slots=True)
class LiftTest:
    """One test.

    channel_ids, market_ids : treated together; start, end : first and last day
    spend_delta : what the test added (negative: took away), money, None where not known; exposures_delta likewise, in
        units of intensity
    lift, standard_error : E[KPI | recorded] - E[KPI | recorded less delta] over treated markets and the test's dates
    """

    lift_test_id: str
    channel_ids: tuple[str, ...]
    market_ids: tuple[str, ...]
    start: np.datetime64
    end: np.datetime64
    spend_delta: float | None
    exposures_delta: float | None
    lift: float
    standard_error: float

    def __post_init__(self) -> None:
        self._require(bool(self.channel_ids) and bool(self.market_ids), "names no channel or no market")
        self._require(self.start <= self.end, f"ends ({self.end}) before it starts ({self.start})")
        self._require(np.isfinite(self.lift), f"has lift {self.lift}")
        self._require(
            0 < self.standard_error < np.inf,
            f"has standard error {self.standard_error}, which must be above 0 and finite",
        )
        known = [d for d in (self.spend_delta, self.exposures_delta) if d is not None]
        self._require(
            bool(known) and all(np.isfinite(d) and d != 0 for d in known),
            "changed neither spend nor exposures by a known amount other than 0",
        )

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise ValueError(f"lift test {self.lift_test_id!r} {what}; correct the row of lift_tests.")


def lift_tests_from_frame(frame: pd.DataFrame, kpi: str) -> tuple[LiftTest, ...]:
    """Tests of the KPI from the table lift_tests of the input contract; channel_ids and market_ids are JSON lists.

    Raises PanelError for missing columns and ValueError for a row that is no test.
    """
    require_columns(frame, COLUMNS, "lift_tests")
    return tuple(_test(row) for row in frame[frame["kpi"] == kpi].to_dict("records"))


def _test(row: dict) -> LiftTest:
    return LiftTest(
        lift_test_id=str(row["lift_test_id"]),
        channel_ids=tuple(json.loads(row["channel_ids"])),
        market_ids=tuple(json.loads(row["market_ids"])),
        start=np.datetime64(pd.Timestamp(row["start_date"]).date()),
        end=np.datetime64(pd.Timestamp(row["end_date"]).date()),
        spend_delta=_amount(row["spend_delta_amount"]),
        exposures_delta=_amount(row["exposures_delta_count"]),
        lift=float(row["lift_amount"]),
        standard_error=float(row["lift_standard_error"]),
    )


def _amount(value: object) -> float | None:
    return None if pd.isna(value) else float(value)
