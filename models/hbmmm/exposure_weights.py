"""What an effect needs of the panel rows: per consumer and channel, weights on the two exposure coefficients.

With b_x, b_l the coefficients of x and log1p(x / bend) of one consumer and channel (money per raw unit), estimands are
    ( sum_i weight_x b_x + weight_l b_l ) / sum_i denominator
because own means and characteristics are held at their observed values:
    slope, panel_rows         sum over rows of f(x + 1) - f(x), per row
    slope, exposure_weighted  the same, rows weighted by x, per exposure
    att_exposed               sum over rows of f(x) - f(0), per exposed row
    contribution              sum over rows of f(x) - f(0)
where f(x) = b_x x + b_l log1p(x / bend).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.errors import PanelError
from models.transforms.concave import concave


@dataclass(frozen=True, slots=True, eq=False)
class Estimand:
    """Weights of one estimand, each (N, C); denominator None for sums. horizon: "immediate" or "total"."""

    name: str
    exposure_distribution: str
    unit: str
    weight_x: np.ndarray
    weight_log1p: np.ndarray
    denominator: np.ndarray | None
    horizon: str = "immediate"


@dataclass(frozen=True, slots=True, eq=False)
class ExposureSums:
    """Sums over each consumer's panel rows of functions of its exposures x, (N, C) each; rows (N,).

    log1p is log1p(x / bend), a step what one more exposure adds to it. Together with the Gram matrices they replace the
    rows: SQL can give both.
    """

    currency_code: str
    rows: np.ndarray
    exposures: np.ndarray
    exposures_log1p: np.ndarray
    steps: np.ndarray
    exposures_steps: np.ndarray
    exposed: np.ndarray

    @classmethod
    def from_panel(
        cls, panel: Any, consumer_ids: np.ndarray, channels: tuple[str, ...], bends: np.ndarray
    ) -> ExposureSums:
        """Sums over a panel's rows, consumers and channels in the given order; bends (C,) are the fit's.

        Raises PanelError when the panel lacks a consumer or a channel of the fit.
        """
        number = {c: i for i, c in enumerate(consumer_ids.tolist())}
        row = np.array([number.get(c, -1) for c in np.asarray(panel.consumer_ids, dtype=object).tolist()])
        index = row[np.asarray(panel.consumer_index)]
        known = index >= 0
        if len(np.unique(index[known])) != len(consumer_ids):
            raise PanelError(
                "the panel lacks consumers of the fit; compute effects on the panel the model was fitted on."
            )
        position = {c: i for i, c in enumerate(panel.channel_ids)}
        lacking = [c for c in channels if c not in position]
        if lacking:
            raise PanelError(
                f"the panel lacks the channels {lacking} of the fit; use the panel it was fitted on."
            )
        x = np.asarray(panel.exposures, dtype=float)[known][:, [position[c] for c in channels]]
        index = index[known]
        curved = concave(x, bends)
        step = concave(x + 1.0, bends) - curved

        def total(values: np.ndarray) -> np.ndarray:
            columns = [np.bincount(index, weights=v, minlength=len(consumer_ids)) for v in values.T]
            return np.column_stack(columns) if columns else np.zeros((len(consumer_ids), 0))

        return cls(
            currency_code=str(panel.currency_code),
            rows=np.bincount(index, minlength=len(consumer_ids)).astype(float),
            exposures=total(x),
            exposures_log1p=total(curved),
            steps=total(step),
            exposures_steps=total(x * step),
            exposed=total((x > 0).astype(float)),
        )


def estimands_of(sums: ExposureSums) -> tuple[Estimand, ...]:
    """The four estimands, consumers and channels in the order of the sums."""
    rows = np.repeat(sums.rows[:, None], sums.exposures.shape[1], axis=1)
    currency = sums.currency_code
    per_exposure = f"{currency} per exposure"
    return (
        Estimand("slope", "panel_rows", per_exposure, rows, sums.steps, rows),
        Estimand(
            "slope", "exposure_weighted", per_exposure, sums.exposures, sums.exposures_steps, sums.exposures
        ),
        Estimand(
            "att_exposed",
            "exposed_rows",
            f"{currency} per exposed consumer-period",
            sums.exposures,
            sums.exposures_log1p,
            sums.exposed,
        ),
        Estimand("contribution", "panel_rows", currency, sums.exposures, sums.exposures_log1p, None),
    )
