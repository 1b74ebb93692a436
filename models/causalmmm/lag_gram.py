"""Gram matrices of lag windows and targets, shop by shop: all that the search for parents needs of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.shops.panel import ShopPanel
from models.transforms.lag_windows import lag_windows, normal_scores

_SHOPS_AT_ONCE = 64  # windows of so many shops are in memory together


@dataclass(frozen=True, slots=True, eq=False)
class LagGram:
    """products: (N, D K + D, D K + D) of lag columns (node by node, lag 1 first) and then of targets.

    Nodes are scaled; controls are taken out of columns and targets. rows: periods explained, less the controls'
    columns. node_scale: (N, D) what the nodes were divided by; infinite for a constant node, which is zero then.
    """

    products: np.ndarray
    node_scale: np.ndarray
    rows: int
    lags_count: int


def lag_gram(
    panel: ShopPanel,
    lags_count: int,
    *,
    ranked: np.ndarray,
    common_scale: float | None = None,
    controls: bool = True,
    season_lengths: tuple[int, ...] = (),
    skipped: int = 0,
) -> LagGram:
    """Products of a panel's lag windows.

    ranked: (D,) bool, nodes turned into normal scores. common_scale: what all other nodes but the outcome are divided
    by; None scales each to unit variance within its shop. skipped: first periods that are not explained, so that lag
    orders can be compared on the same rows (0: as many as there are lags).

    Raises
    ------
    ValueError : hardly any row is left after lags and controls.
    """
    drop = max(skipped - lags_count, 0)
    products, scales, rows = [], [], 0
    for start in range(0, panel.shops_count, _SHOPS_AT_ONCE):
        part = panel.shops(np.arange(start, min(start + _SHOPS_AT_ONCE, panel.shops_count)))
        values, scale = _scaled(part, ranked, common_scale)
        scales.append(scale)
        windows = lag_windows(values, lags_count)[:, drop:]  # (N, M, D, K)
        shops, length = windows.shape[:2]
        both = np.concatenate(
            [windows.reshape(shops, length, -1), values[:, lags_count + drop :]], axis=2
        )  # (N, M, D K + D)
        basis = _control_basis(part, controls, season_lengths)[:, lags_count + drop :]
        both = _taken_out(both, basis)
        rows = length - basis.shape[2]
        products.append(both.transpose(0, 2, 1) @ both)
    if rows < 3:
        raise ValueError(
            f"{panel.periods_count} periods leave {rows} rows after {max(lags_count, skipped)} lags and the controls; "
            "3 are the least. Hand over more periods, or ask for fewer lags or controls."
        )
    return LagGram(np.concatenate(products), np.concatenate(scales), rows, lags_count)


def common_scale_of(panel: ShopPanel) -> float:
    """Root mean variance of all nodes but the outcome, within shops."""
    others = np.arange(panel.nodes_count) != panel.outcome_index
    return float(np.sqrt(panel.values[:, :, others].var(axis=1).mean())) or 1.0


def _scaled(
    panel: ShopPanel, ranked: np.ndarray, common_scale: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """(N, T, D) centred and scaled within shops, (N, D) what they were divided by."""
    values = panel.values.copy()
    if ranked.any():
        values[:, :, ranked] = normal_scores(values[:, :, ranked], axis=1)
    values -= values.mean(axis=1, keepdims=True)
    sd = values.std(axis=1)
    scale = np.where(sd > 1e-12, sd, np.inf)
    if common_scale is not None:
        kept = ~ranked & (np.arange(panel.nodes_count) != panel.outcome_index)
        scale = np.where(kept & np.isfinite(scale), common_scale, scale)
    return values / scale[:, None], scale


def _control_basis(panel: ShopPanel, controls: bool, season_lengths: tuple[int, ...]) -> np.ndarray:
    """(N, T, Q): one, context that changes in time in some shop, a level for each place in each cycle but one."""
    columns = [np.ones((panel.shops_count, panel.periods_count, 1))]
    if controls:
        changes = (np.ptp(panel.context, axis=1) > 0).any(axis=0)
        columns.append(panel.context[:, :, changes])
    place = np.arange(panel.periods_count)
    for length in season_lengths:
        dummies = (place[:, None] % length == np.arange(1, length)).astype(float)
        columns.append(np.broadcast_to(dummies, (panel.shops_count, *dummies.shape)))
    return np.concatenate(columns, axis=2)


def _taken_out(both: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Residuals on the basis, shop by shop; columns of a basis may depend on one another."""
    vectors, values, _ = np.linalg.svd(basis, full_matrices=False)
    vectors = vectors * (values > 1e-9 * values[:, :1])[:, None]
    return both - vectors @ (vectors.transpose(0, 2, 1) @ both)
