"""The concave exposure column: log1p(x / bend), which bends where a channel's exposures are.

With bend 1 the column has bent long before a channel of ten exposures a period has shown any: x and log1p(x) together
then fit the exposures that occur, and f(x) - f(0), on which contributions rest, is extrapolated from a slope at zero
that few rows inform. Bends are powers of two, so that a refresh with slightly other exposures keeps its columns.
"""

from __future__ import annotations

import numpy as np


def exposure_bends(channel_index: np.ndarray, counts: np.ndarray, channels_count: int) -> np.ndarray:
    """The power of two nearest (in logarithms) to each channel's mean exposures where exposed, (C,); 1 without any.

    channel_index, counts (E,): channel and exposures of every consumer-period with exposures.
    """
    exposed = counts > 0
    channel_index, counts = channel_index[exposed], counts[exposed]
    cells = np.bincount(channel_index, minlength=channels_count)
    total = np.bincount(channel_index, weights=counts, minlength=channels_count)
    mean = np.divide(total, cells, out=np.ones(channels_count), where=total > 0)
    return np.exp2(np.rint(np.log2(mean)))


def concave(exposures: np.ndarray, bends: np.ndarray | float) -> np.ndarray:
    """log1p(x / bend) of exposures (..., C) and bends (C,)."""
    return np.log1p(exposures / bends)
