"""What a budget asks of a response model: what spend brings, draw by draw, and how steeply.

Any model with draws of KPI by spend can stand behind it; models/response/planned_spend.py is ours. KPI counts over the
plan's periods and whatever later ones the model counts; what earlier spend left behind may be in it, for only
differences between two plans are read.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from models.plans.spend_plan import SpendPlan


class SpendResponse(Protocol):
    """K draws; spend (J, H, C) as in `plan`, which is what is spent unless something is decided.

    Markets and channels must not act on each other: KPI by market and channel adds up.
    """

    plan: SpendPlan

    def __len__(self) -> int:
        """K."""
        ...

    @property
    def is_concave(self) -> bool:
        """Whether returns diminish everywhere and in every draw, so that a local optimum is the optimum."""
        ...

    def totals(self, spend: np.ndarray, draws: np.ndarray | None = None) -> np.ndarray:
        """KPI (k, J, C) of the draws at the given positions (all by default)."""
        ...

    def weighted(self, spend: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted sum over draws, weights (K,): KPI (J, C) and its derivative by spend (J, H, C)."""
        ...

    def slopes_along(self, spend: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """(K, J, C): derivative by h of KPI at spend + h direction (J, H, C)."""
        ...
