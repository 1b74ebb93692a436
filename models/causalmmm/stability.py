"""How often an edge is found again when half of the shops are taken away (stability selection).

Meinshausen and Buehlmann (2010), with the complementary pairs of Shah and Samworth (2013): shops are split in two
halves at random, each half is fitted anew, and a shop's edge is selected where its probability there reaches a
threshold. Each shop is in one half of every pair, so every frequency has the same number of refits behind it. Shops
share what they learn, so this shows what the choice of shops decides; a shop's own noise stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.shops.graph_posterior import GraphPosterior
from models.shops.panel import ShopPanel

THRESHOLD = 0.5
SHOPS_LEAST = 4


def selection_frequency(
    panel: ShopPanel,
    fit: Callable[[ShopPanel, int], GraphPosterior],
    pairs_count: int,
    rng: np.random.Generator,
    threshold: float = THRESHOLD,
    progress: Callable[[str, float], None] | None = None,
) -> np.ndarray:
    """(N, D, D) share of refits, of `pairs_count` each, in which the shop's edge had at least this probability.

    fit: (part of the panel, number of the refit) -> posterior of its shops.

    Raises
    ------
    ValueError : fewer than SHOPS_LEAST shops (a half of them is nothing to share), or no pair.
    """
    if panel.shops_count < SHOPS_LEAST or pairs_count < 1:
        raise ValueError(
            f"{pairs_count} pairs of halves of {panel.shops_count} shops were asked for; at least 1 pair and "
            f"{SHOPS_LEAST} shops are needed."
        )
    tell = progress or (lambda text, share: None)
    selected = np.zeros((panel.shops_count, panel.nodes_count, panel.nodes_count))
    for pair in range(pairs_count):
        order = rng.permutation(panel.shops_count)
        for side, half in enumerate(np.array_split(order, 2)):
            half = np.sort(half)
            found = fit(panel.shops(half), 2 * pair + side)
            selected[half] += found.edge_probability >= threshold
        tell(f"stability: {pair + 1} of {pairs_count} pairs of halves", (pair + 1) / pairs_count)
    return selected / pairs_count
