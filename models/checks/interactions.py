"""Interactions of two characteristics added to a finished fit, for refits; which pairs promise most.

The columns are those that a fit with HBMMMConfig.interactions has (characteristics.product_features). Pairs are ranked
as in Tukey's test for non-additivity (1949): each characteristic is summed up in one number a consumer, the part of
the fitted level (the intercept equation) that it makes, and the product of two such indices is what a pair could move.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from models.hbmmm.characteristics import (
    DERIVED_KINDS,
    Characteristic,
    characteristic_features,
    known_features,
    product_features,
)
from models.hbmmm.fit import HBMMMFit


def strongest_pairs(fit: HBMMMFit, pairs_most: int) -> tuple[tuple[str, str], ...]:
    """Pairs of the characteristics whose indices vary most and that the model lacks, the strongest first."""
    spread = {source: _index(fit, source, fit.completed[0]).std() for source in _sources(fit)}
    ranked = sorted((s for s in spread if spread[s] > 0), key=lambda source: (-spread[source], source))
    known = {frozenset(pair) for pair in fit.config.interactions}
    pairs = [pair for pair in combinations(ranked, 2) if frozenset(pair) not in known]
    pairs.sort(key=lambda pair: (-spread[pair[0]] * spread[pair[1]], pair))
    return tuple(pairs[:pairs_most])


def with_interaction(fit: HBMMMFit, first: str, second: str) -> tuple[Characteristic, ...]:
    """The fit's characteristics with the interaction of two of them added.

    Raises PanelError for a characteristic that the model does not have, or a product that does not vary.
    """
    own, least = fit.design.characteristics, fit.config.min_level_consumers
    added = product_features(own, fit.completed[0], (first, second), least)
    if fit.config.imputed_moderators == "average":
        added += known_features((*own, *added), fit.completed[0], added)
    return (*own, *added)


def _sources(fit: HBMMMFit) -> list[str]:
    known = [c.source for c in fit.design.characteristics if c.kind not in DERIVED_KINDS]
    return list(dict.fromkeys(known))


def _index(fit: HBMMMFit, source: str, completed: pd.DataFrame) -> np.ndarray:
    """The part of each consumer's fitted level that one characteristic makes, (N,), scaled units."""
    mine = tuple(c for c in fit.design.characteristics if c.source == source and c.kind not in DERIVED_KINDS)
    names = [f"{fit.design.row_columns[0].name}:{c.name}" for c in mine]
    means = dict(zip(fit.parameter_names, fit.draws.mean(axis=(0, 1, 2)).tolist(), strict=True))
    return characteristic_features(mine, completed) @ np.array([means[name] for name in names])
