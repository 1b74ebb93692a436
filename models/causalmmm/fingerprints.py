"""Which settings and data a checkpoint belongs to."""

from __future__ import annotations

import hashlib

from models.causalmmm.shop_panel import ShopPanel


def fingerprint(config: object, panel: ShopPanel) -> str:
    """Sixteen hex digits of the settings and of the panel's content."""
    digest = hashlib.sha256(repr((config, panel.shop_ids, panel.node_ids, panel.outcome_id)).encode())
    for array in (panel.values, panel.context, panel.allowed):
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
