"""What a section of the report is made of."""

from __future__ import annotations

from dataclasses import dataclass

from models.report.charts import Chart

MOST_ROWS = 400  # of a table in the page; the Parquet file has all


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table as text; numeric: positions of columns that are set to the right."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A matplotlib figure as a data URI."""

    title: str
    alt: str
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One heading of the page; empty: what to say instead where there is nothing to show."""

    key: str
    title: str
    lead: str
    charts: tuple[Chart, ...] = ()
    tables: tuple[TextTable, ...] = ()
    pictures: tuple[Picture, ...] = ()
    empty: str = ""
