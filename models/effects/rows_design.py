"""Standardised columns with an intercept, held once and visited a few thousand rows at a time.

Newton's method and least squares need products of the design, weighted or of some rows: taken in chunks they need no
further copy of it, however many fits use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr
from scipy.linalg.blas import dsyrk

CHUNK_ROWS = 4_096
SPREAD_MINIMUM = 1e-12  # a column with less standard deviation does not vary


@dataclass(frozen=True, eq=False)
class RowsDesign:
    """Rows of (1, (features - centre) / spread).

    Attributes
    ----------
    matrix : (R, K + 1), intercept first
    centre, spread : (K,) of the raw columns; a column without variation has spread 1
    """

    matrix: np.ndarray
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, columns: np.ndarray | None = None) -> RowsDesign:
        """Standardised over all rows; features (R, *) and positions of the K columns to take, all by default."""
        columns = np.arange(features.shape[1]) if columns is None else np.asarray(columns, dtype=np.int64)
        matrix = np.empty((len(features), len(columns) + 1))
        matrix[:, 0] = 1.0
        matrix[:, 1:] = features[:, columns]
        centre = matrix[:, 1:].sum(axis=0) / max(len(matrix), 1)
        matrix[:, 1:] -= centre
        squares = np.einsum("rk,rk->k", matrix[:, 1:], matrix[:, 1:])
        spread = np.sqrt(squares / max(len(matrix), 1))
        spread = np.where(spread > SPREAD_MINIMUM, spread, 1.0)
        matrix[:, 1:] /= spread
        return cls(matrix, centre, spread)

    @property
    def width(self) -> int:
        """K + 1."""
        return self.matrix.shape[1]

    def chosen(self, kept: np.ndarray) -> RowsDesign:
        """With the columns where `kept`, (K,) bool, holds."""
        return RowsDesign(self.matrix[:, np.append(True, kept)], self.centre[kept], self.spread[kept])

    def chunks(self, rows: np.ndarray | None = None) -> Iterator[tuple[slice | np.ndarray, np.ndarray]]:
        """(rows of the chunk, (c, K + 1) design), of all rows or of those whose positions are given."""
        count = len(self.matrix) if rows is None else len(rows)
        for start in range(0, count, CHUNK_ROWS):
            at = slice(start, start + CHUNK_ROWS) if rows is None else rows[start : start + CHUNK_ROWS]
            yield at, self.matrix[at]

    def gram(self, weights: np.ndarray | None = None, rows: np.ndarray | None = None) -> np.ndarray:
        """sum over rows of weight x x', (K + 1, K + 1); weights (R,) are 0 or more, 1 by default."""
        total = np.zeros((self.width, self.width), order="F")
        for at, part in self.chunks(rows):
            scaled = part if weights is None else part * np.sqrt(weights[at])[:, None]
            total = dsyrk(1.0, scaled.T, beta=1.0, c=total, overwrite_c=1)
        return np.triu(total) + np.triu(total, 1).T

    def group_sums(self, values: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Sums over groups of x times (R,) values: (G, K + 1); groups (R,) are positions from 0."""
        return np.column_stack([np.bincount(groups, values * column) for column in self.matrix.T])

    def independent_columns(self, tolerance: float) -> np.ndarray:
        """(K,) bool: of columns that are collinear (with the intercept too) the first stays.

        A column stays if what earlier ones leave of it is more than `tolerance` of its size (QR, chunk by chunk).
        """
        triangle = np.zeros((0, self.width))
        for _, part in self.chunks():
            triangle = qr(np.concatenate([triangle, part]), mode="r", overwrite_a=True, check_finite=False)[0]
            triangle = triangle[: self.width]
        left = np.zeros(self.width)
        left[: len(triangle)] = np.abs(np.diag(triangle))
        size = np.sqrt((triangle**2).sum(axis=0))
        return (left > tolerance * size)[1:] & (size[1:] > 1e-6)
