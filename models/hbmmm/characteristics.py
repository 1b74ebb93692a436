"""Consumer characteristics as model features: numeric ones standardised, categorical ones one column a level.

What is learned here (levels, transformation, centre, scale) comes from observed values only and is stored with the
fit, so that a refresh and a prediction see the same columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.hbmmm.config import HBMMMConfig

STRATUM_NAME = "pre_period_spend_stratum"
OTHER_LEVEL = "other"
_SKEWED = 2.0  # above this skewness a non-negative characteristic enters as log1p


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One feature column. kind: 'numeric', 'log1p', 'level' or 'missing'; value = (raw - centre) / scale.

    levels: for kind 'level', the levels of `source` that have a column or are the reference; any other level
    counts as "other".
    """

    name: str
    source: str
    kind: str
    level: str | None
    levels: tuple[str, ...]
    centre: float
    scale: float

    def __post_init__(self) -> None:
        """JSON gives lists back as levels."""
        object.__setattr__(self, "levels", tuple(self.levels))


def is_numeric(column: pd.Series) -> bool:
    """Numbers and booleans; everything else is categorical."""
    return pd.api.types.is_numeric_dtype(column.dtype)


def tidy_characteristics(characteristics: pd.DataFrame, consumer_ids: np.ndarray) -> pd.DataFrame:
    """Rows in the order of consumer_ids, numbers as float, categories as text or None, the noise stratum left out.

    Raises PanelError for duplicated consumers. Consumers without a row get missing values.
    """
    if characteristics.index.has_duplicates:
        twice = characteristics.index[characteristics.index.duplicated()][:3].tolist()
        raise PanelError(
            f"characteristics list consumers more than once ({twice}); one row per consumer is needed."
        )
    frame = characteristics.reindex(consumer_ids)
    out = {}
    for name in sorted(frame.columns, key=str):
        column = frame[name]
        if name == STRATUM_NAME or column.isna().all():
            continue
        if is_numeric(column):
            values = column.astype(float).to_numpy(dtype=float, na_value=np.nan)
            out[str(name)] = np.where(np.isfinite(values), values, np.nan)
        else:
            out[str(name)] = np.array(
                [None if v is None or v != v else str(v) for v in column.to_list()], object
            )
    return pd.DataFrame(out, index=pd.Index(consumer_ids, name="consumer_id"))


def learn_characteristics(frame: pd.DataFrame, config: HBMMMConfig) -> tuple[Characteristic, ...]:
    """Feature columns of a tidy frame (with gaps); a column that does not vary gives none."""
    features: list[Characteristic] = []
    for name in frame.columns:
        column = frame[name]
        missing = column.isna().to_numpy()
        if is_numeric(column):
            observed = column.to_numpy(dtype=float)[~missing]
            kind = "log1p" if observed.min() >= 0 and _skewness(observed) > _SKEWED else "numeric"
            values = np.log1p(observed) if kind == "log1p" else observed
            if values.std() > 1e-10 * max(1.0, abs(values.mean())):
                features.append(
                    Characteristic(name, name, kind, None, (), float(values.mean()), float(values.std()))
                )
        else:
            features += _level_features(name, column[~missing], config)
        if config.missing_indicators and missing.any():
            share = float(missing.mean())
            centre, scale = share, float(np.sqrt(share * (1 - share)))
            features.append(Characteristic(f"{name} is missing", name, "missing", None, (), centre, scale))
    return _without_repeats(features, frame)


def pool_levels(column: pd.Series, levels: tuple[str, ...]) -> np.ndarray:
    """Text values with levels outside `levels` (the kept ones) replaced by "other"; None stays."""
    kept = set(levels)
    values = [None if v is None or v != v else str(v) for v in column.to_list()]
    return np.array([v if v is None or v in kept else OTHER_LEVEL for v in values], dtype=object)


def characteristic_features(features: tuple[Characteristic, ...], completed: pd.DataFrame) -> np.ndarray:
    """Standardised feature columns (N, f). A missing indicator is read from the column "<source> is missing";
    a value that is missing gives 0, the average of the observed."""
    out = np.zeros((len(completed), len(features)))
    for j, feature in enumerate(features):
        source = f"{feature.source} is missing" if feature.kind == "missing" else feature.source
        if source not in completed:
            continue
        column = completed[source]
        if feature.kind == "level":
            pooled = pool_levels(column, feature.levels)
            raw = np.array([np.nan if v is None else float(v == feature.level) for v in pooled])
        else:
            raw = column.to_numpy(dtype=float)
            raw = np.log1p(np.maximum(raw, 0.0)) if feature.kind == "log1p" else raw
        out[:, j] = np.nan_to_num((raw - feature.centre) / feature.scale, nan=0.0)
    return out


def kept_levels(column: pd.Series, minimum: int) -> tuple[str, ...]:
    """Levels with at least `minimum` consumers, and "other" if the rest together reach it."""
    counts = column.dropna().value_counts()
    large = sorted(str(v) for v in counts.index[counts >= minimum])
    if 0 < counts.sum() - counts[counts >= minimum].sum() and OTHER_LEVEL not in large:
        large.append(OTHER_LEVEL)
    return tuple(large)


def _level_features(name: str, observed: pd.Series, config: HBMMMConfig) -> list[Characteristic]:
    levels = kept_levels(observed, config.min_level_consumers)
    pooled = pd.Series(pool_levels(observed, levels))
    shares = pooled.value_counts(normalize=True)
    if len(shares) < 2:
        return []
    reference = sorted(shares.index, key=lambda v: (-shares[v], v))[0]
    features = []
    for level in levels:
        if level == reference or level not in shares.index:
            continue
        share = float(shares[level])
        scale = float(np.sqrt(share * (1 - share)))
        features.append(Characteristic(f"{name}={level}", name, "level", level, levels, share, scale))
    return features


def _without_repeats(features: list[Characteristic], frame: pd.DataFrame) -> tuple[Characteristic, ...]:
    """One missing indicator per distinct pattern of gaps: columns missing together would repeat themselves."""
    seen: set[bytes] = set()
    kept = []
    for feature in features:
        if feature.kind == "missing":
            pattern = frame[feature.source].isna().to_numpy().tobytes()
            if pattern in seen:
                continue
            seen.add(pattern)
        kept.append(feature)
    return tuple(kept)


def _skewness(values: np.ndarray) -> float:
    deviation = values - values.mean()
    variance = float((deviation**2).mean())
    return 0.0 if variance <= 0 else float((deviation**3).mean() / variance**1.5)
