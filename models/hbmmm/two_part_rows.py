"""A panel's rows as both parts of the two-part model see them, and statistics of them under weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.errors import PanelError
from models.hbmmm.design import Design
from models.hbmmm.problem import consumer_row_means
from models.hbmmm.statistics import SufficientStatistics, row_design
from models.hbmmm.strata import pooled_strata

# Weight of rows of consumers without a purchase: the amount part knows them, and they tell it nothing.
NO_WEIGHT = 1e-9
# A noise stratum of a dozen purchases is fitted exactly by as many coefficients: noise falls to zero, and NUTS crawls.
MIN_STRATUM_PURCHASES = 200


@dataclass(frozen=True, slots=True, eq=False)
class PanelRows:
    """Rows in (consumer, period) order.

    statistics: of net GMV. raw (R, m - 1): the columns but the outcome, raw units. gmv (R,). consumer (R,): position in
    statistics.consumer_ids. starts (N + 1,): where each consumer's rows begin.
    """

    statistics: SufficientStatistics
    raw: np.ndarray
    gmv: np.ndarray
    consumer: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, panel: Any) -> PanelRows:
        """Raises PanelError where the rows do not stand in (consumer, period) order."""
        statistics = SufficientStatistics.from_panel(panel)
        rows = row_design(panel)[1]
        present, consumer = np.unique(np.asarray(panel.consumer_index), return_inverse=True)
        order = np.lexsort((np.asarray(panel.period_index), consumer))
        if (order != np.arange(len(order))).any():
            raise PanelError(
                "the panel's rows are not in (consumer, period) order; build it with from_frames."
            )
        starts = np.searchsorted(consumer, np.arange(len(present) + 1))
        return cls(statistics, rows[:, :-1], rows[:, -1], consumer, starts)

    @property
    def is_purchase(self) -> np.ndarray:
        """(R,): net GMV other than zero. Net returns count, so that E[y] = P(y != 0) E[y | y != 0] holds exactly."""
        return self.gmv != 0

    def own_means(self, design: Design) -> np.ndarray:
        """Plain means of the scaled columns over each consumer's rows, (N, pD)."""
        return consumer_row_means(self.statistics, design)

    def scaled(self, design: Design) -> np.ndarray:
        """The design's columns, scaled and not centred, (R, pD)."""
        return np.ascontiguousarray(self.raw @ design.affine_map(self.raw.shape[1] + 1)[:-1, :-1])

    def weighted(self, weights: np.ndarray, outcome: np.ndarray) -> SufficientStatistics:
        """Gram matrices of [D, outcome] with weights (R,) > 0 or 0; rows_count is the sum of a consumer's weights.

        Means over a consumer's rows, and thereby the centring of columns, are weighted as well.
        """
        rows = np.column_stack([self.raw, outcome]) * np.sqrt(weights)[:, None]
        upper = np.triu_indices(rows.shape[1])
        packed = np.empty((len(self.starts) - 1, len(upper[0])))
        for i, (start, end) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            mine = rows[start:end]
            packed[i] = (mine.T @ mine)[upper]
        return replace(self.statistics, packed=packed, rows_count=packed[:, 0].copy())

    def amounts(self) -> SufficientStatistics:
        """Statistics of net GMV over purchases only; noise strata with few purchases joined (strata.py)."""
        bought = self.is_purchase.astype(float)
        ever = np.add.reduceat(bought, self.starts[:-1])[self.consumer] > 0
        made = self.weighted(np.where(ever, bought, NO_WEIGHT), self.gmv)
        names, stratum = pooled_strata(
            self.statistics.spend_stratum[self.consumer], self.gmv**2, least=MIN_STRATUM_PURCHASES
        )
        return replace(made, spend_stratum=names.astype(object)[stratum[self.starts[:-1]]])

    def predictor(self, rows: np.ndarray, coefficients: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Linear predictor (R,): scaled rows (R, pD) less consumers' centres (N, pD), times coefficients (N, pD)."""
        level = (centres[:, 1:] * coefficients[:, 1:]).sum(axis=1)
        return np.einsum("rc,rc->r", rows, coefficients[self.consumer]) - level[self.consumer]
