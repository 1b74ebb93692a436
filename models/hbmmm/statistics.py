"""Sufficient statistics of a consumer panel: one Gram matrix per consumer.

For consumer i with panel rows t the row-level design is D_it = [1, x, log1p(x / bend), covariates, period dummies] and
the outcome y_it (net GMV or its logarithm: outcome.py). Everything the likelihood needs of the rows is the Gram matrix
of [D_i, y_i] (studies/hbmmm.md section 2). SQL computes it in production (mart consumer_sufficient_statistics);
`from_panel` is the NumPy reference that SQL is held to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.hbmmm.outcome import OUTCOME_COLUMNS, outcome_values
from models.transforms.concave import concave

KINDS = ("intercept", "exposure", "exposure_log1p", "covariate", "period", "outcome")


@dataclass(frozen=True, slots=True)
class DesignColumn:
    """One column of the row-level design, in raw units; bend: of log1p(x / bend) (models/transforms/concave.py)."""

    name: str
    kind: str
    channel_id: str | None = None
    covariate_name: str | None = None
    period_start_date: str | None = None
    bend: float = 1.0


def design_column(
    kind: str,
    channel_id: str | None = None,
    covariate_name: str | None = None,
    period_start_date: str | None = None,
    bend: float = 1.0,
    outcome: str = "money",
) -> DesignColumn:
    """A column under the one name that it has wherever the statistics come from; terms are found by name."""
    of = next((v for v in (channel_id, covariate_name, period_start_date) if v is not None), None)
    plain = OUTCOME_COLUMNS[outcome] if kind == "outcome" else kind
    return DesignColumn(
        plain if of is None else f"{kind}[{of}]", kind, channel_id, covariate_name, period_start_date, bend
    )


@dataclass(frozen=True, slots=True, eq=False)
class SufficientStatistics:
    """Gram matrices of [D_i, y_i] over each consumer's panel rows.

    columns: the m columns, outcome last.
    consumer_ids, spend_stratum, rows_count: (N,), sorted by consumer_id.
    market_ids (J,), market_index (N,): home market of each consumer.
    packed: (N, m (m + 1) / 2) upper triangles, row-major, i <= j; raw units.
    """

    columns: tuple[DesignColumn, ...]
    consumer_ids: np.ndarray
    market_ids: np.ndarray
    market_index: np.ndarray
    spend_stratum: np.ndarray
    rows_count: np.ndarray
    packed: np.ndarray
    basis_id: str = "concave"

    def __post_init__(self) -> None:
        """Check shapes, order and finiteness."""
        kinds = [c.kind for c in self.columns]
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown:
            raise PanelError(f"design columns have unknown kinds {unknown}; known are {list(KINDS)}.")
        if kinds[:1] != ["intercept"] or kinds[-1:] != ["outcome"] or kinds.count("outcome") != 1:
            raise PanelError("the design must start with the intercept and end with the outcome column.")
        m = len(self.columns)
        if self.packed.shape != (len(self.consumer_ids), m * (m + 1) // 2):
            raise PanelError(
                f"statistics have shape {self.packed.shape}, but {len(self.consumer_ids)} consumers with {m} design "
                f"columns need {(len(self.consumer_ids), m * (m + 1) // 2)}; rebuild the mart and its column list."
            )
        if len(self.consumer_ids) == 0:
            raise PanelError("no consumer has a panel row; check is_in_panel in consumer_periods.")
        if not np.isfinite(self.packed).all():
            raise PanelError(
                "statistics hold values that are not finite; look for NaN covariates in the panel."
            )
        if len(set(self.consumer_ids.tolist())) != len(self.consumer_ids):
            raise PanelError("a consumer occurs twice in the statistics; one row per consumer is needed.")
        if not np.allclose(self.packed[:, 0], self.rows_count):
            raise PanelError(
                "the intercept's sum of squares differs from rows_count; the column order is wrong."
            )

    @property
    def outcome(self) -> str:
        """What y is: money or log1p."""
        return next((o for o, name in OUTCOME_COLUMNS.items() if name == self.columns[-1].name), "money")

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """Channels in design order."""
        return tuple(c.channel_id for c in self.columns if c.kind == "exposure" and c.channel_id is not None)

    @property
    def covariate_names(self) -> tuple[str, ...]:
        """Covariates in design order."""
        return tuple(c.covariate_name for c in self.columns if c.covariate_name is not None)

    def gram(self, consumers: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Full symmetric Gram matrices, (n, m, m)."""
        m = len(self.columns)
        upper = np.triu_indices(m)
        packed = self.packed[consumers]
        full = np.empty((len(packed), m, m))
        full[:, upper[0], upper[1]] = packed
        full[:, upper[1], upper[0]] = packed
        return full

    def subset(self, consumers: np.ndarray) -> SufficientStatistics:
        """Statistics of some consumers (ascending indices), all markets and columns."""
        return replace(
            self,
            consumer_ids=self.consumer_ids[consumers],
            market_index=self.market_index[consumers],
            spend_stratum=self.spend_stratum[consumers],
            rows_count=self.rows_count[consumers],
            packed=self.packed[consumers],
        )

    def without(self, kind: str) -> SufficientStatistics:
        """The same consumers without the columns of a kind (covariates, say)."""
        m = len(self.columns)
        keep = np.array([column.kind != kind for column in self.columns])
        first, second = np.triu_indices(m)
        return replace(
            self,
            columns=tuple(column for column, kept in zip(self.columns, keep, strict=True) if kept),
            packed=np.ascontiguousarray(self.packed[:, keep[first] & keep[second]]),
        )

    @classmethod
    def from_marts(cls, statistics: pd.DataFrame, design_columns: pd.DataFrame) -> SufficientStatistics:
        """Build from the marts consumer_sufficient_statistics and design_columns (one basis_id).

        Columns are named by what they are (design_column), not by the mart's column_name.
        """
        bases = sorted(set(statistics["basis_id"]) | set(design_columns["basis_id"]))
        if len(bases) != 1:
            raise PanelError(f"expected one basis_id in the statistics marts, found {bases}; filter to one.")
        listed = design_columns[design_columns["column_index"].notna()].sort_values("column_index")
        outcomes = {name: outcome for outcome, name in OUTCOME_COLUMNS.items()}
        found = listed.loc[listed["column_kind"] == "outcome", "column_name"].astype(str).tolist()
        if not set(found) <= set(outcomes):
            raise PanelError(
                f"design_columns has the outcome {found}; known are {list(outcomes)}. Rebuild the marts."
            )
        columns = tuple(
            design_column(
                str(row.column_kind),
                _text(row.channel_id),
                _text(row.covariate_name),
                None if _text(row.period_start_date) is None else str(row.period_start_date)[:10],
                1.0 if pd.isna(row.exposure_bend) else float(row.exposure_bend),
                outcomes.get(str(row.column_name), "money"),
            )
            for row in listed.itertuples(index=False)
        )
        frame = statistics.sort_values("consumer_id", kind="stable")
        market_ids, market_index = np.unique(frame["market_id"].to_numpy(dtype=object), return_inverse=True)
        values = frame["statistics"].to_list()
        packed = np.array(values, dtype=np.float64) if values else np.empty((0, 0))
        return cls(
            columns=columns,
            consumer_ids=frame["consumer_id"].to_numpy(dtype=object),
            market_ids=market_ids,
            market_index=market_index.astype(np.int64),
            spend_stratum=frame["spend_stratum"].to_numpy(dtype=object),
            rows_count=frame["rows_count"].to_numpy(dtype=np.int64),
            packed=np.ascontiguousarray(packed),
            basis_id=bases[0],
        )

    @classmethod
    def from_panel(
        cls, panel: Any, bends: np.ndarray | None = None, outcome: str = "money"
    ) -> SufficientStatistics:
        """NumPy reference: the same numbers from a ConsumerPanel's rows, summed in period order.

        bends (C,): of the concave columns; None takes the panel's own.
        """
        columns, design = row_design(panel, bends, outcome)
        consumer = np.asarray(panel.consumer_index)
        order = np.lexsort((np.asarray(panel.period_index), consumer))
        present, starts, counts = np.unique(consumer[order], return_index=True, return_counts=True)
        design = design[order]
        upper = np.triu_indices(len(columns))
        packed = np.empty((len(present), len(upper[0])))
        for i, (start, count) in enumerate(zip(starts, counts, strict=True)):
            rows = design[start : start + count]
            packed[i] = (rows.T @ rows)[upper]
        return cls(
            columns=columns,
            consumer_ids=np.asarray(panel.consumer_ids, dtype=object)[present],
            market_ids=np.asarray(panel.market_ids, dtype=object),
            market_index=np.asarray(panel.consumer_market_index)[present].astype(np.int64),
            spend_stratum=np.asarray(panel.spend_stratum, dtype=object)[present],
            rows_count=counts.astype(np.int64),
            packed=packed,
        )


def row_design(
    panel: Any, bends: np.ndarray | None = None, outcome: str = "money"
) -> tuple[tuple[DesignColumn, ...], np.ndarray]:
    """Columns and rows [1, x, log1p(x / bend), Z, period dummies, y] of a panel, raw units; rows (R, m) in its order.

    A period gets a dummy when it is a panel period other than the first.
    """
    exposures = np.asarray(panel.exposures, dtype=float)
    covariates = np.asarray(panel.covariates, dtype=float).reshape(len(exposures), -1)
    period = np.asarray(panel.period_index)
    present = np.unique(period)
    columns = [design_column("intercept")]
    columns += [design_column("exposure", str(c)) for c in panel.channel_ids]
    bends = panel.exposure_bends if bends is None else bends
    columns += [
        design_column("exposure_log1p", str(c), bend=float(b))
        for c, b in zip(panel.channel_ids, bends, strict=True)
    ]
    columns += [design_column("covariate", covariate_name=str(z)) for z in panel.covariate_names]
    dates = [str(np.datetime64(panel.period_starts[t], "D")) for t in present[1:]]
    columns += [design_column("period", period_start_date=d) for d in dates]
    columns += [design_column("outcome", outcome=outcome)]
    rows = np.column_stack(
        [
            np.ones(len(exposures)),
            exposures,
            concave(exposures, bends),
            covariates,
            (period[:, None] == present[None, 1:]).astype(float),
            outcome_values(panel.gmv, outcome),
        ]
    )
    return tuple(columns), rows


def _text(value: Any) -> str | None:
    return None if value is None or value is pd.NaT or value != value else str(value)
