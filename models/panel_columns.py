"""Columns of mart frames as arrays, checked: keys, amounts, days, positions.

Text keys may come as categories (a dictionary of texts and a code a row): at millions of rows a Python text a row is
most of what reading a panel costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.errors import PanelError

PERIODS = ("day", "week", "month")


@dataclass(frozen=True, slots=True, eq=False)
class TextKeys:
    """values: (U,) object, different texts, sorted, some perhaps of no row; codes: (R,) int32 positions in them."""

    values: np.ndarray
    codes: np.ndarray

    def used(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the rows where `rows` (R,) holds: their positions, int64, and the sorted texts that they have."""
        present, positions_in_present = np.unique(self.codes[rows], return_inverse=True)
        return positions_in_present.astype(np.int64), self.values[present]

    def positions_in(self, sorted_unique: np.ndarray) -> np.ndarray:
        """(R,) int32 position of each row's text in these, -1 where it is none of them."""
        return positions(sorted_unique, self.values).astype(np.int32)[self.codes]


def text_keys(column: pd.Series, name: str) -> TextKeys:
    """The texts of a key column. PanelError where one is null."""
    if column.isna().any():
        raise PanelError(f"{name} is null in {int(column.isna().sum())} rows; keys may not be null.")
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = column.cat.categories.astype(str).to_numpy(dtype=object)
        order = np.argsort(texts)
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order))
        return TextKeys(texts[order], rank[column.cat.codes.to_numpy()])
    codes, values = pd.factorize(column.astype(str).to_numpy(dtype=object), sort=True)
    return TextKeys(np.asarray(values, dtype=object), codes.astype(np.int32))


def require_columns(frame: pd.DataFrame, columns: tuple[str, ...], name: str) -> None:
    """PanelError that names the columns a frame lacks."""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise PanelError(f"{name} lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}.")


def refuse_duplicates(frame: pd.DataFrame, key: list[str], name: str) -> None:
    """PanelError where two rows have one key."""
    twice = frame.duplicated(key)
    if twice.any():
        first = frame.loc[twice, key].iloc[0].tolist()
        raise PanelError(
            f"{name} has {int(twice.sum())} rows whose key ({', '.join(key)}) occurs before, "
            f"the first is {first}. The mart promises one row per key: look at its uniqueness test."
        )


def texts(column: pd.Series, name: str) -> np.ndarray:
    """(R,) object texts. PanelError where one is null."""
    if column.isna().any():
        raise PanelError(f"{name} is null in {int(column.isna().sum())} rows; keys may not be null.")
    return column.astype(str).to_numpy(dtype=object)


def floats(column: pd.Series, name: str) -> np.ndarray:
    """(R,) float64. PanelError where one is not finite."""
    values = column.astype("float64").to_numpy()
    if not np.isfinite(values).all():
        raise PanelError(
            f"{name} is not finite in {int((~np.isfinite(values)).sum())} rows: quarantine them."
        )
    return values


def days(column: pd.Series) -> np.ndarray:
    """(R,) datetime64[D]."""
    return pd.to_datetime(column).to_numpy().astype("datetime64[D]")


def calendar_grid(starts: np.ndarray, period: str) -> np.ndarray:
    """Every period start from the first to the last. PanelError for a start off that grid or an unknown period."""
    if period not in PERIODS:
        raise PanelError(f"period is {period!r}; a panel counts in one of {', '.join(PERIODS)}.")
    first, last = starts.min(), starts.max()
    if period == "month":
        months = np.arange(first.astype("datetime64[M]"), last.astype("datetime64[M]") + 1)
        grid = months.astype("datetime64[D]")
    else:
        grid = np.arange(first, last + 1, 7 if period == "week" else 1).astype("datetime64[D]")
    off = ~np.isin(starts, grid)
    if off.any():
        raise PanelError(
            f"{int(off.sum())} period starts are no start of a {period} counted from {first}, the first is "
            f"{starts[off].min()}. Was the panel built with another period or week start?"
        )
    return grid


def positions(sorted_unique: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Position of each value, -1 where absent."""
    if not len(sorted_unique):
        return np.full(len(values), -1)
    if sorted_unique.dtype == object:
        return pd.Index(sorted_unique).get_indexer(values)
    position = np.searchsorted(sorted_unique, values).clip(max=len(sorted_unique) - 1)
    return np.where(sorted_unique[position] == values, position, -1)
