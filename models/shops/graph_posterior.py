"""What every level and every baseline says about the edges of each shop: probability, lag, sign, structure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from models.shops.panel import ShopPanel

FRAME_COLUMNS = ("shop_id", "source_id", "target_id", "edge_probability", "lag", "sign", "method")


@dataclass(frozen=True, slots=True, eq=False)
class GraphPosterior:
    """Edges [shop, source, target] of N shops and D nodes. Edges are predictive (Granger), not interventional.

    edge_probability: (N, D, D) in [0, 1]; zero where no edge is allowed, the diagonal among that.
    lag: (N, D, D) mean lag in periods (1 is the period before), NaN where it is not known.
    sign: (N, D, D) in [-1, 1], probability of a positive minus that of a negative effect; NaN where it is not known.
    structure_probability: (N, R), how likely each of R shared structures is a shop's; rows sum to one. None without.
    method: which level or baseline says so.
    diagnostics: figures about the fit by name.
    """

    edge_probability: np.ndarray
    lag: np.ndarray
    sign: np.ndarray
    structure_probability: np.ndarray | None
    method: str
    diagnostics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.edge_probability.shape
        if len(shape) != 3 or shape[1] != shape[2]:
            raise ValueError(f"`edge_probability` has shape {shape}; [shop, source, target] is (N, D, D).")
        for name, lowest, highest in (
            ("edge_probability", 0.0, 1.0),
            ("sign", -1.0, 1.0),
            ("lag", 0.0, np.inf),
        ):
            array = getattr(self, name)
            if array.shape != shape:
                raise ValueError(f"`{name}` has shape {array.shape} where {shape} belongs.")
            known = array[~np.isnan(array)] if name != "edge_probability" else array
            if not ((known >= lowest) & (known <= highest)).all():
                raise ValueError(
                    f"`{name}` of {self.method} leaves [{lowest:g}, {highest:g}] or is missing: found "
                    f"{known.min()} to {known.max()}. The estimator that made it is at fault."
                )
        structures = self.structure_probability
        if structures is not None and (
            structures.shape[0] != shape[0] or not np.allclose(structures.sum(axis=1), 1.0, atol=1e-6)
        ):
            raise ValueError(
                f"`structure_probability` has shape {structures.shape} for {shape[0]} shops, or a row that does not "
                "sum to one. One probability a shop and structure belongs there."
            )

    def to_frame(self, panel: ShopPanel) -> pd.DataFrame:
        """One row per shop and allowed edge, columns FRAME_COLUMNS.

        Raises
        ------
        ValueError : the panel has other shops or nodes than the posterior.
        """
        if self.edge_probability.shape != (panel.shops_count, panel.nodes_count, panel.nodes_count):
            raise ValueError(
                f"The posterior is of shape {self.edge_probability.shape}, the panel has {panel.shops_count} shops and "
                f"{panel.nodes_count} nodes. Hand over the panel that was scored."
            )
        source, target = np.nonzero(panel.allowed)
        edges = len(source)
        nodes = np.asarray(panel.node_ids)
        columns = {
            "shop_id": np.repeat(np.asarray(panel.shop_ids), edges),
            "source_id": np.tile(nodes[source], panel.shops_count),
            "target_id": np.tile(nodes[target], panel.shops_count),
        }
        for name in ("edge_probability", "lag", "sign"):
            columns[name] = getattr(self, name)[:, source, target].ravel()
        return pd.DataFrame({**columns, "method": self.method}, columns=list(FRAME_COLUMNS))
