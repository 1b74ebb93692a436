"""Which settings and data a checkpoint belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from models.shops.panel import ShopPanel


def fingerprint(config: object, panel: ShopPanel, others: Sequence[np.ndarray] = ()) -> str:
    """Sixteen hex digits of the settings, of the panel's content and of other arrays that the fit reads."""
    digest = hashlib.sha256(repr((config, panel.shop_ids, panel.node_ids, panel.outcome_id)).encode())
    for array in (panel.values, panel.context, panel.allowed, *others):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
