"""Interactions of two characteristics as one column each, to be added to a fit's completed data.

A characteristic of many levels times another would be dozens of columns, most of them of a handful of consumers. As in
Tukey's test for non-additivity (1949), each characteristic is first summed up in one number a consumer: the part of the
fitted level (the intercept equation) that it makes. The product of two such indices, standardised, moves the consumer's
level and every exposure slope.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.hbmmm.characteristics import Characteristic, characteristic_features
from models.hbmmm.fit import HBMMMFit


def strongest_pairs(fit: HBMMMFit, pairs_most: int) -> tuple[tuple[str, str], ...]:
    """Pairs of the characteristics whose indices vary most, the strongest first."""
    spread = {source: _index(fit, source, fit.completed[0]).std() for source in _sources(fit)}
    ranked = sorted((s for s in spread if spread[s] > 0), key=lambda source: (-spread[source], source))
    pairs = sorted(combinations(ranked, 2), key=lambda pair: (-spread[pair[0]] * spread[pair[1]], pair))
    return tuple(pairs[:pairs_most])


def with_interaction(
    fit: HBMMMFit, first: str, second: str
) -> tuple[tuple[Characteristic, ...], tuple[pd.DataFrame, ...]]:
    """The fit's characteristics and completed data sets with the product of two characteristics added.

    Raises PanelError for a characteristic that the model does not have, or a product that does not vary.
    """
    unknown = [name for name in (first, second) if name not in _sources(fit)]
    if unknown:
        raise PanelError(
            f"the model has no characteristic {', '.join(unknown)}; it has {', '.join(_sources(fit)) or 'none'}."
        )
    name = f"{first} x {second}"
    products = [_index(fit, first, one) * _index(fit, second, one) for one in fit.completed]
    centre, scale = float(products[0].mean()), float(products[0].std())
    if not scale > 1e-8 * max(1.0, abs(centre)):
        raise PanelError(f"the product of {first} and {second} is the same for every consumer.")
    added = Characteristic(name, name, "numeric", None, (), centre, scale)
    completed = tuple(one.assign(**{name: p}) for one, p in zip(fit.completed, products, strict=True))
    return (*fit.design.characteristics, added), completed


def _sources(fit: HBMMMFit) -> list[str]:
    known = [c.source for c in fit.design.characteristics if c.kind != "missing"]
    return list(dict.fromkeys(known))


def _index(fit: HBMMMFit, source: str, completed: pd.DataFrame) -> np.ndarray:
    """The part of each consumer's fitted level that one characteristic makes, (N,), scaled units."""
    mine = tuple(c for c in fit.design.characteristics if c.source == source and c.kind != "missing")
    names = [f"{fit.design.row_columns[0].name}:{c.name}" for c in mine]
    means = dict(zip(fit.parameter_names, fit.draws.mean(axis=(0, 1, 2)).tolist(), strict=True))
    return characteristic_features(mine, completed) @ np.array([means[name] for name in names])
