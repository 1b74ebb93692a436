"""Conditional effects by segment: means of AIPW scores within groups of consumers.

    cate(s) = mean of the rows' AIPW scores over consumers of segment s

(Semenova and Chernozhukov 2021: projecting scores on group indicators; DoubleML calls it GATE.) Segments are made
of what was known before the panel began; a segment made of outcomes or exposures would select on them. The same
scores as for the whole panel are used, so segment effects, weighted by rows, add up to its ate_exposed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.effect_rows import effect_row
from models.effects.consumer_bootstrap import (
    CONSUMERS_MINIMUM,
    bootstrap_clusters,
    ratio_difference,
)
from models.effects.doubly_robust import ExposureScores, estimator_terms
from models.panel import SPEND_STRATUM_NAME, ConsumerPanel


def categorical_segments(panel: ConsumerPanel) -> dict[str, np.ndarray]:
    """Segments of the categorical characteristics ("missing" where one is) and of pre-period spend: name -> (N,)."""
    segments = {SPEND_STRATUM_NAME: panel.spend_stratum}
    for name, kind in panel.characteristic_kinds.items():
        if kind == "categorical":
            column = panel.characteristics[name]
            segments[name] = column.where(column.notna(), "missing").astype(str).to_numpy(dtype=object)
    return segments


def segment_effects(
    scores: ExposureScores,
    segments: np.ndarray,
    rng: np.random.Generator,
    *,
    channel_id: str,
    segment_name: str,
    unit: str,
    method: str,
    exposure_distribution: str = "panel_rows",
    draws_count: int = 1_000,
    interval_level: float = 0.95,
) -> pd.DataFrame:
    """One row per segment, in segment order: `effect_row` columns of estimand cate, and who it is about.

    Parameters
    ----------
    segments : (N,) text, by consumer position, the positions that scores.consumer_index uses

    Columns added: segment_name, segment_value, consumers_count, rows_count, difference_from_others with
    difference_lower and difference_upper (the segment's mean less that of all other consumers; the interval
    resamples both). Segments under CONSUMERS_MINIMUM consumers have NaN and a reason.
    """
    terms = estimator_terms(scores, "aipw", "ate_exposed")
    consumer, period = scores.consumer_index, scores.period_index
    by_row = np.asarray(segments, dtype=object)[consumer]
    settings = {"draws_count": draws_count, "interval_level": interval_level}
    rows = []
    for value in sorted(set(by_row.tolist())):
        own = by_row == value
        own_period = None if period is None else period[own]
        found = bootstrap_clusters(terms[own], consumer[own], own_period, ratio_difference, rng, **settings)
        contrast = np.column_stack([terms[:, :2] * own[:, None], terms[:, :2] * ~own[:, None]])
        against = bootstrap_clusters(contrast, consumer, period, ratio_difference, rng, **settings)
        count = found.consumers_count
        few = count < CONSUMERS_MINIMUM
        reason = f"{count} consumers, at least {CONSUMERS_MINIMUM} are needed" if few else None
        numbers = {} if few else found.numbers()
        row = effect_row(
            channel_id,
            "cate",
            exposure_distribution,
            unit,
            method=method,
            interval_level=interval_level,
            not_identified_reason=reason,
            **numbers,
        )
        row |= {"segment_name": segment_name, "segment_value": value}
        row |= {"consumers_count": count, "rows_count": int(own.sum())}
        row |= {"difference_from_others": np.nan if few else against.estimate}
        row |= {"difference_lower": np.nan if few else against.interval_lower}
        row |= {"difference_upper": np.nan if few else against.interval_upper}
        rows.append(row)
    return pd.DataFrame(rows)
