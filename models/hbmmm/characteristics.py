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
DERIVED_KINDS = ("missing", "product", "known")  # columns that stand for no characteristic of their own
_SKEWED = 2.0  # above this skewness a non-negative characteristic enters as log1p


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One feature column; value = (raw - centre) / scale.

    kind: 'numeric', 'log1p', 'level', 'missing', 'product' or 'known'.
    levels: for kind 'level', the levels of `source` that have a column or are the reference; any other level
        counts as "other".
    parts: names of other columns. A product is that of its two parts' standardised values, and its source the pair
        "<first> x <second>", which is no column of the data. Of kind 'known', it is its one part with the mean of the
        imputed values in place of each of them.
    """

    name: str
    source: str
    kind: str
    level: str | None
    levels: tuple[str, ...]
    centre: float
    scale: float
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """JSON gives lists back."""
        object.__setattr__(self, "levels", tuple(self.levels))
        object.__setattr__(self, "parts", tuple(self.parts))


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
    """Feature columns of a tidy frame (with gaps), products of config.interactions last; what does not vary gives none.

    Raises PanelError for an interaction of a characteristic that is not there or does not vary.
    """
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
    kept = _without_repeats(features, frame)
    for pair in config.interactions:
        kept += product_features(kept, frame, pair, config.min_level_consumers)
    return kept + known_features(kept, frame, kept) if config.imputed_moderators == "average" else kept


def product_features(
    features: tuple[Characteristic, ...], frame: pd.DataFrame, pair: tuple[str, str], least_consumers: int
) -> tuple[Characteristic, ...]:
    """Columns of the interaction of two characteristics: every column of the one times every column of the other.

    frame: characteristics, with or without gaps; centre and scale are of the consumers in whom both are known. Two
    levels that fewer than least_consumers have together give no column: there is nothing to learn it from.
    Raises PanelError for a characteristic without columns, and where no product varies.
    """
    own = {name: [c for c in features if c.source == name and c.kind not in DERIVED_KINDS] for name in pair}
    unknown = [name for name in pair if not own[name]]
    if unknown:
        known = dict.fromkeys(c.source for c in features if c.kind not in DERIVED_KINDS)
        raise PanelError(
            f"the interaction {pair[0]} x {pair[1]} needs the characteristic {', '.join(unknown)}, which the model "
            f"does not have (no such column, or one that does not vary); it has {', '.join(known) or 'none'}."
        )
    values = _raw_features(features, frame)
    column = {c.name: j for j, c in enumerate(features)}
    made = []
    for first in own[pair[0]]:
        for second in own[pair[1]]:
            a, b = values[:, column[first.name]], values[:, column[second.name]]
            product = (a * b)[np.isfinite(a * b)]
            if first.kind == second.kind == "level" and ((a > 0) & (b > 0)).sum() < least_consumers:
                continue
            if len(product) and product.std() > 1e-8 * max(1.0, abs(product.mean())):
                made.append(
                    Characteristic(
                        f"{first.name} x {second.name}",
                        f"{pair[0]} x {pair[1]}",
                        "product",
                        None,
                        (),
                        float(product.mean()),
                        float(product.std()),
                        (first.name, second.name),
                    )
                )
    if not made:
        raise PanelError(
            f"the interaction {pair[0]} x {pair[1]} has no column: no two levels have {least_consumers} consumers "
            "together, or the product is the same for every consumer. Leave it out."
        )
    return tuple(made)


def pool_levels(column: pd.Series, levels: tuple[str, ...]) -> np.ndarray:
    """Text values with levels outside `levels` (the kept ones) replaced by "other"; None stays."""
    kept = set(levels)
    values = [None if v is None or v != v else str(v) for v in column.to_list()]
    return np.array([v if v is None or v in kept else OTHER_LEVEL for v in values], dtype=object)


def characteristic_features(features: tuple[Characteristic, ...], completed: pd.DataFrame) -> np.ndarray:
    """Standardised feature columns (N, f). A missing indicator is read from the column "<source> is missing";
    a value that is missing gives 0, the average of the observed."""
    return np.nan_to_num(_raw_features(features, completed), nan=0.0)


def _raw_features(features: tuple[Characteristic, ...], frame: pd.DataFrame) -> np.ndarray:
    """The same with NaN where a value is missing."""
    out = np.full((len(frame), len(features)), np.nan)
    column = {feature.name: j for j, feature in enumerate(features)}
    by_name = {feature.name: feature for feature in features}
    for j, feature in enumerate(features):
        if feature.kind == "known":
            raw = out[:, column[feature.parts[0]]].copy()
            gaps = _gaps(by_name[feature.parts[0]], by_name, frame)
            raw[gaps] = raw[gaps].mean() if gaps.any() else 0.0
        elif feature.kind == "product":  # of columns that stand before it
            raw = np.prod([out[:, column[name]] for name in feature.parts], axis=0)
        else:
            raw = _raw_values(feature, frame)
        out[:, j] = (raw - feature.centre) / feature.scale
    return out


def _raw_values(feature: Characteristic, frame: pd.DataFrame) -> np.ndarray:
    source = f"{feature.source} is missing" if feature.kind == "missing" else feature.source
    if source not in frame:
        return np.full(len(frame), np.nan)
    if feature.kind == "level":
        pooled = pool_levels(frame[source], feature.levels)
        return np.array([np.nan if v is None else float(v == feature.level) for v in pooled])
    raw = frame[source].to_numpy(dtype=float)
    return np.log1p(np.maximum(raw, 0.0)) if feature.kind == "log1p" else raw


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


def known_features(
    features: tuple[Characteristic, ...], frame: pd.DataFrame, of: tuple[Characteristic, ...]
) -> tuple[Characteristic, ...]:
    """For each column of `of` (some of the features) with gaps, the one that slopes see in its place (kind 'known').

    frame: characteristics with their gaps, or completed ones with the columns that say where they were.
    """
    by_name = {c.name: c for c in features}
    return tuple(
        Characteristic(f"{c.name} where known", c.source, "known", None, (), 0.0, 1.0, (c.name,))
        for c in of
        if c.kind != "missing" and _gaps(c, by_name, frame).any()
    )


def _gaps(feature: Characteristic, by_name: dict[str, Characteristic], frame: pd.DataFrame) -> np.ndarray:
    """In whom a column is, or was before completion, unknown, (N,) bool."""
    out = np.zeros(len(frame), dtype=bool)
    for source in {by_name[name].source for name in feature.parts} or {feature.source}:
        if f"{source} is missing" in frame:
            out |= frame[f"{source} is missing"].to_numpy(dtype=float) > 0
        elif source in frame:
            out |= frame[source].isna().to_numpy()
    return out


def _skewness(values: np.ndarray) -> float:
    deviation = values - values.mean()
    variance = float((deviation**2).mean())
    return 0.0 if variance <= 0 else float((deviation**3).mean() / variance**1.5)
