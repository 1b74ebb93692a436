"""Consumer groups that effects are reported for: all, each market, each level or tertile of a characteristic.

Segments are made of observed characteristics only; consumers in whom one is missing form the segment "missing".
Cells under the minimum are pooled as "other (<n consumers)", so that a table never describes a handful of people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from models.hbmmm.characteristics import is_numeric, tidy_characteristics
from models.hbmmm.fit import HBMMMFit


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """labels: key columns of each group's effect rows; levels: its table; matrix (G, N): 1 where a consumer is in."""

    labels: tuple[dict[str, Any], ...]
    levels: tuple[str, ...]
    matrix: sparse.csr_matrix


def population_groups(fit: HBMMMFit, characteristics: pd.DataFrame) -> Groups:
    """All consumers, then markets, then segments of observed characteristics, consumers in the fit's order."""
    n = len(fit.consumer_ids)
    groups: list[tuple[dict[str, Any], np.ndarray]] = [(_label("channel", count=n), np.ones(n, dtype=bool))]
    for j, market in enumerate(fit.market_ids):
        inside = fit.market_index == j
        if inside.any():
            groups.append((_label("market", market_id=market, count=int(inside.sum())), inside))
    frame = tidy_characteristics(characteristics, fit.consumer_ids)
    for name in frame.columns:
        cells = (
            _tertiles(frame[name].to_numpy(dtype=float)) if is_numeric(frame[name]) else _levels(frame[name])
        )
        for value, inside in _pool_small(cells, fit.config.min_segment_consumers):
            label = _label("segment", segment_name=name, segment_value=value, count=int(inside.sum()))
            groups.append((label, inside))
    matrix = sparse.vstack(
        [sparse.csr_matrix(inside[None], dtype=float) for _, inside in groups], format="csr"
    )
    labels = tuple(label for label, _ in groups)
    return Groups(labels, tuple(label["level"] for label in labels), matrix)


def _label(
    level: str,
    market_id: str | None = None,
    segment_name: str | None = None,
    segment_value: str | None = None,
    count: int = 0,
) -> dict[str, Any]:
    return {
        "level": level,
        "market_id": market_id,
        "segment_name": segment_name,
        "segment_value": segment_value,
        "consumers_count": count,
    }


def _levels(column) -> list[tuple[str, np.ndarray]]:
    values = (
        column.where(column.notna(), "missing").astype(str).to_numpy(dtype=object)
    )  # gaps are None or NaN
    return [(level, values == level) for level in sorted(set(values.tolist()))]


def _tertiles(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Thirds of the observed values, named by their range; few distinct values become levels of their own."""
    observed = values[~np.isnan(values)]
    distinct = np.unique(observed)
    if len(distinct) <= 3:
        cells = [(f"{v:g}", values == v) for v in distinct]
    else:
        low, high = np.quantile(observed, [1 / 3, 2 / 3])
        cells = [
            (f"low (<= {low:g})", values <= low),
            (f"middle ({low:g} to {high:g})", (values > low) & (values <= high)),
            (f"high (> {high:g})", values > high),
        ]
    return [*cells, ("missing", np.isnan(values))]


def _pool_small(cells: list[tuple[str, np.ndarray]], minimum: int) -> list[tuple[str, np.ndarray]]:
    kept = [(value, inside) for value, inside in cells if inside.sum() >= minimum]
    small = [inside for _, inside in cells if 0 < inside.sum() < minimum]
    if small:
        label = f"other (<{minimum} consumers)"
        while label in dict(kept):  # a level of the data may be called just that
            label += " pooled"
        kept.append((label, np.any(small, axis=0)))
    return kept
