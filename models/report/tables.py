"""What the report is made of: the reporting tables of one refresh."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pandas as pd

from models.errors import PanelError

DATED = "as_of_date"


@dataclass(frozen=True, slots=True, eq=False)
class ReportTables:
    """Reporting tables, each possibly without rows; never one row a consumer.

    consumer_quantiles : channel_id, unit, consumers_count, q05, q25, q50, q75, q95 of consumers' own primary slopes,
        learned_q50, learned_q95 of their learned_share (`CONSUMER_QUANTILES`).
    The others have the columns of the published tables of their name.
    """

    channel_effects: pd.DataFrame
    market_channel_effects: pd.DataFrame
    segment_channel_effects: pd.DataFrame
    consumer_quantiles: pd.DataFrame
    causal_graph_edges: pd.DataFrame
    placebo_results: pd.DataFrame
    robustness_checks: pd.DataFrame
    model_comparison: pd.DataFrame
    gate_checks: pd.DataFrame
    family_status: pd.DataFrame
    data_quality: pd.DataFrame

    def newest(self) -> ReportTables:
        """Rows of the newest as-of date of any table; data_quality has none and stays whole.

        Raises
        ------
        PanelError : no table says of which date it is.
        """
        dates = {
            f.name: pd.to_datetime(getattr(self, f.name)[DATED])
            for f in fields(self)
            if DATED in getattr(self, f.name)
        }
        newest = max((days.max() for days in dates.values() if len(days)), default=None)
        if newest is None:
            raise PanelError(
                "no reporting table has a row with an as-of date, so there is nothing to report on; build the "
                "reporting tables first (make run)."
            )
        return replace(self, **{name: getattr(self, name)[days == newest] for name, days in dates.items()})

    @property
    def as_of_date(self) -> str:
        """ISO date of the rows of `newest`."""
        found = [getattr(self, f.name) for f in fields(self) if DATED in getattr(self, f.name)]
        return pd.Timestamp(next(frame[DATED].iloc[0] for frame in found if len(frame))).date().isoformat()
