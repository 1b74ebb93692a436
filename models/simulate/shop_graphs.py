"""Shared causal structures of simulated shops: which channels feed which, and all of them the outcome (paper, A.2.1).

The paper leaves the distribution of graphs open. Here ceil(source_share * d) channels are sources, every other channel
picks each channel before it in the structure's order with probability `density` (one at least), and the outcome each
channel likewise; the outcome itself causes nothing. With `cyclic`, a channel may also pick those after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

_TRIES = 1_000


def draw_structures(
    channels_count: int,
    structures_count: int,
    rng: np.random.Generator,
    *,
    density: float = 0.5,
    source_share: float = 0.7,
    permuted: bool = True,
    cyclic: bool = False,
) -> np.ndarray:
    """(R, d + 1, d + 1) bool [structure, source, target], all different; the outcome is the last node.

    permuted: the order of channels is drawn for each structure; otherwise the first channels are sources in all.

    Raises
    ------
    ValueError : so many different structures do not turn up.
    """
    found: dict[bytes, np.ndarray] = {}
    for graph in _draws(channels_count, rng, density, source_share, permuted, cyclic):
        found.setdefault(graph.tobytes(), graph)
        if len(found) == structures_count:
            return np.stack(list(found.values()))
    raise ValueError(
        f"{len(found)} different structures of {channels_count} channels turned up in {_TRIES} draws, "
        f"{structures_count} were asked for. Ask for fewer, or for more channels."
    )


def _draws(
    channels_count: int,
    rng: np.random.Generator,
    density: float,
    source_share: float,
    permuted: bool,
    cyclic: bool,
) -> Iterator[np.ndarray]:
    sources_count = min(math.ceil(source_share * channels_count), channels_count)
    for _ in range(_TRIES):
        order = rng.permutation(channels_count) if permuted else np.arange(channels_count)
        graph = np.zeros((channels_count + 1, channels_count + 1), dtype=bool)
        for place in range(sources_count, channels_count):
            candidates = np.delete(order, place) if cyclic else order[:place]
            graph[_picked(candidates, density, rng), order[place]] = True
        graph[_picked(order, density, rng), channels_count] = True
        yield graph


def _picked(candidates: np.ndarray, density: float, rng: np.random.Generator) -> np.ndarray:
    picked = candidates[rng.random(len(candidates)) < density]
    return picked if len(picked) else rng.choice(candidates, 1)
