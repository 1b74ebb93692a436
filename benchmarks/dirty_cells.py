"""Cells of dirty files by column kind: a text, and what it means or what is wrong with it (docs/input_contract.md).

A cell says what it is when it is drawn, so that the judge (dirty_judge.py) never parses a text and shares nothing with
the SQL under test.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hypothesis import strategies as st

MISSING, BAD_TYPE, NOT_FINITE, FRACTION, GOOD = "missing", "bad_type", "not_finite", "fraction", "good"
FIRST_DAY, LAST_DAY = dt.date(2023, 1, 2), dt.date(2024, 12, 30)


@dataclass(frozen=True)
class Cell:
    """text as it stands in the file ('' is missing); value where state is GOOD."""

    text: str
    state: str = GOOD
    value: Any = None


def _bad(state: str, *texts: str) -> st.SearchStrategy[Cell]:
    return st.sampled_from([Cell(text, state) for text in texts])


EMPTY = st.just(Cell("", MISSING))
NOT_FINITE_CELLS = _bad(NOT_FINITE, "NaN", "nan", "inf", "-Infinity", "Inf")
_LETTERS = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Nd"))
_WORDS = st.text(_LETTERS, min_size=1, max_size=8).filter(
    lambda text: text.strip() and text.strip().lower() not in _NUMBER_WORDS and "_" not in text
)
_NUMBER_WORDS = {
    "nan",
    "inf",
    "infinity",
    "+inf",
    "-inf",
    "-nan",
    "+nan",
    "-infinity",
    "+infinity",
    "e",
    "t",
    "f",
    "y",
    "n",
}
BAD_NUMBERS = _bad(
    BAD_TYPE, "twelve", "1_000", "12,50", "1.2.3", "€5", "1e400", "--1", "0x", "5 EUR", "#N/A", "-"
)
BAD_TIMES = _bad(
    BAD_TYPE,
    "yesterday",
    "31/12/2023",
    "2024-02-30",
    "2024-13-01",
    "20240110",
    "10:00",
    "2024-1-5",
    "infinity",
    "45302",
)


@st.composite
def money(draw: Any, least: int = 0, most: int = 5_000) -> Cell:
    """Amounts of up to six decimals; the value has four, rounded half up."""
    units, places = draw(st.integers(least, most)), draw(st.integers(0, 6))
    text = f"{units}.{draw(st.integers(0, 10**places - 1)):0{places}d}" if places else str(units)
    if units < 0 or draw(st.booleans()):
        text = text.replace(".", ".") if units < 0 else draw(st.sampled_from([text, "+" + text, "0" + text]))
    return Cell(text, GOOD, Decimal(text).quantize(Decimal("0.0001"), ROUND_HALF_UP))


@st.composite
def counts(draw: Any, least: int = 1, most: int = 50) -> Cell:
    """Whole numbers, some written with a point or an exponent."""
    number = draw(st.integers(least, most))
    return Cell(draw(st.sampled_from([f"{number}", f"{number}.0", f"{number}e0"])), GOOD, number)


@st.composite
def numbers(draw: Any, least: float = -1e6, most: float = 1e6) -> Cell:
    """Numbers as Python writes them."""
    number = draw(st.floats(least, most, allow_nan=False, allow_subnormal=False))
    return Cell(repr(number), GOOD, number)


@st.composite
def moments(draw: Any) -> Cell:
    """Moments with and without a zone, days alone; the value is UTC without zone."""
    day = draw(st.dates(FIRST_DAY, LAST_DAY))
    if draw(st.booleans()):
        return Cell(day.isoformat(), GOOD, dt.datetime.combine(day, dt.time()))
    clock = dt.time(draw(st.integers(0, 23)), draw(st.integers(0, 59)), draw(st.integers(0, 59)))
    moment, mark = dt.datetime.combine(day, clock), draw(st.sampled_from([" ", "T"]))
    zone, shift = draw(st.sampled_from([("", 0), ("Z", 0), ("+02:00", 2), ("-05:00", -5)]))
    return Cell(f"{day}{mark}{clock}{zone}", GOOD, moment - dt.timedelta(hours=shift))


@st.composite
def days(draw: Any, step: int = 1) -> Cell:
    """Days, some written as midnight; step 7: Mondays alone."""
    day = FIRST_DAY + dt.timedelta(days=step * draw(st.integers(0, 700 // step)))
    return Cell(draw(st.sampled_from([f"{day}", f"{day} 00:00:00"])), GOOD, day)


@st.composite
def booleans(draw: Any) -> Cell:
    """The spellings that are accepted."""
    text, value = draw(
        st.sampled_from(
            [("true", True), ("false", False), ("1", True), ("0", False), ("TRUE", True), ("no", False)]
        )
    )
    return Cell(text, GOOD, value)


def names(*choices: str) -> st.SearchStrategy[Cell]:
    """Identifiers out of a few."""
    return st.sampled_from([Cell(name, GOOD, name) for name in choices])


def words() -> st.SearchStrategy[Cell]:
    """Any text that is no number."""
    return _WORDS.map(lambda text: Cell(text, GOOD, text))


def bad_words(state: str = BAD_TYPE) -> st.SearchStrategy[Cell]:
    """Any text that is no number, where a number belongs."""
    return st.text("abcdghjkmpqrsuvwxz$%/", min_size=1, max_size=6).map(lambda text: Cell(text, state))


def lists_of(*choices: str) -> st.SearchStrategy[Cell]:
    """JSON lists of identifiers."""
    return st.lists(st.sampled_from(choices), min_size=1, max_size=2, unique=True).map(
        lambda found: Cell(json.dumps(found), GOOD, tuple(found))
    )


#: What may stand in a column of a kind although it is no value of it.
FAULTS: dict[str, st.SearchStrategy[Cell]] = {
    "string": EMPTY,
    "timestamp": st.one_of(EMPTY, BAD_TIMES, bad_words()),
    "date": st.one_of(
        EMPTY, BAD_TIMES, bad_words(), _bad(BAD_TYPE, "2024-06-01 13:00:00", "2024-01-08T00:00:01")
    ),
    "money": st.one_of(EMPTY, BAD_NUMBERS, _bad(BAD_TYPE, "1e20"), NOT_FINITE_CELLS, bad_words()),
    "number": st.one_of(EMPTY, BAD_NUMBERS, NOT_FINITE_CELLS, bad_words()),
    "count": st.one_of(
        EMPTY,
        BAD_NUMBERS,
        _bad(BAD_TYPE, "1e30"),
        NOT_FINITE_CELLS,
        bad_words(),
        _bad(FRACTION, "1.5", "0.25", "2.000001"),
    ),
    "boolean": st.one_of(EMPTY, _bad(BAD_TYPE, "perhaps", "ja", "2.5", "on fire")),
    "json": st.one_of(EMPTY, _bad(BAD_TYPE, "tv", "{}", '"tv"', "[", '{"a": 1}')),
}
