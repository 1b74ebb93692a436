"""Numbers and verdicts in a reader's words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

RAISED, LOWERED, ASSUMED, UNCLEAR, NOT_IDENTIFIED, UNKNOWN = (
    "raised",
    "lowered",
    "assumed",
    "unclear",
    "not_identified",
    "unknown",
)
#: What a verdict says, and the sign that stands beside its colour: colour alone tells some readers nothing.
VERDICT_WORDS = {
    RAISED: ("▲", "raised net GMV"),
    LOWERED: ("▼", "lowered net GMV"),
    ASSUMED: ("△", "raised net GMV, sign assumed"),
    UNCLEAR: ("○", "not told apart from zero"),
    NOT_IDENTIFIED: ("✕", "not identified"),
    UNKNOWN: ("–", "no number"),
}
_READING_ORDER = (RAISED, LOWERED, ASSUMED, UNCLEAR, NOT_IDENTIFIED, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the report says first about a channel.

    verdict : one of VERDICT_WORDS. sentence : in words. reason : why not identified, else empty.
    """

    channel_id: str
    verdict: str
    sentence: str
    reason: str

    @property
    def sign(self) -> str:
        """The verdict's sign."""
        return VERDICT_WORDS[self.verdict][0]

    @property
    def label(self) -> str:
        """The verdict in words."""
        return VERDICT_WORDS[self.verdict][1]


def number(value: float | None, signed: bool = False) -> str:
    """Three significant digits, thousands apart; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    size, sign = abs(value), "+" if signed else ""
    if 0 < size < 1e-4:
        text = format(value, f"{sign}.1e")
    else:
        digits = 0 if size >= 100 or value == 0 else max(0, 2 - math.floor(math.log10(size)))
        text = format(value, f"{sign},.{digits}f")
    return text.replace("-", "−")


def interval(lower: float | None, upper: float | None) -> str:
    """Lower to upper."""
    if lower is None or upper is None or not (math.isfinite(lower) and math.isfinite(upper)):
        return "–"
    return f"{number(lower)} to {number(upper)}"


def level_words(levels: pd.Series) -> str:
    """The interval level of some rows: "95 % interval", or "interval" where they differ or none is known."""
    known = levels.dropna().unique()
    return f"{100 * known[0]:g} % interval" if len(known) == 1 else "interval"


def verdict_of(row: pd.Series) -> str:
    """The verdict on one effect row (mean, interval_lower, interval_upper, is_identified).

    A prior that allows positive effects only leaves no probability of one: its interval lies above zero whatever the
    data say, so that size is found and sign assumed.
    """
    if not math.isfinite(row["mean"]):
        return UNKNOWN
    if not row["is_identified"]:
        return NOT_IDENTIFIED
    if row.get("method") == "response" and pd.isna(row.get("probability_positive")):
        return ASSUMED
    if row["interval_lower"] > 0:
        return RAISED
    return LOWERED if row["interval_upper"] < 0 else UNCLEAR


def findings(effects: pd.DataFrame) -> tuple[Finding, ...]:
    """One finding a channel, from its primary immediate contribution (slope where there is none) and slope.

    Market-only data have neither: there the response model's contribution over all market-periods speaks, and roas.
    effects : newest rows of channel_effects. What the data decide comes first, then the larger contribution.
    """
    primary = effects[effects["is_primary"].astype(bool)]
    shown = primary[primary["horizon"].eq("immediate") & primary["exposure_distribution"].eq("panel_rows")]
    if shown.empty:
        shown = primary[primary["exposure_distribution"].eq("market_periods")]
    found = []
    for channel, rows in shown.groupby("channel_id"):
        by_estimand = rows.set_index("estimand")
        named = [name for name in ("contribution", "slope") if name in by_estimand.index]
        if not named:
            continue
        main = by_estimand.loc[named[0]]
        beside = next((name for name in ("slope", "roas") if name in by_estimand.index), None)
        one = _finding(str(channel), named[0], main, None if beside is None else by_estimand.loc[beside])
        size = main["mean"] if math.isfinite(main["mean"]) else -math.inf
        found.append(((_READING_ORDER.index(one.verdict), -size, one.channel_id), one))
    return tuple(one for _, one in sorted(found, key=lambda pair: pair[0]))


def _finding(channel: str, estimand: str, main: pd.Series, beside: pd.Series | None) -> Finding:
    verdict = verdict_of(main)
    level = level_words(pd.Series([main["interval_level"]]))
    size = f"{number(abs(main['mean']))} {main['unit']}"
    bounds = f"{level} {interval(main['interval_lower'], main['interval_upper'])}"
    words = "contribution" if estimand == "contribution" else "slope"
    reason = "" if main["is_identified"] else str(main["not_identified_reason"] or "")
    if verdict == UNKNOWN:
        sentence = "No number is published."
    elif verdict == NOT_IDENTIFIED:
        sentence = (
            f"The model's {words} is {number(main['mean'], signed=True)} {main['unit']} ({bounds}), but the data "
            "cannot say that the channel caused it."
        )
    elif verdict == UNCLEAR:
        sentence = (
            f"Its {words} lies between {number(main['interval_lower'], signed=True)} and "
            f"{number(main['interval_upper'], signed=True)} {main['unit']} ({level}): the data do not tell it from "
            "nothing."
        )
    else:
        word = "Took away" if verdict == LOWERED else "Added"
        sentence = f"{word} {size} ({bounds})" + (" in all." if estimand == "contribution" else ".")
    if estimand == "contribution" and beside is not None and verdict in (RAISED, LOWERED, ASSUMED):
        sentence += _beside(beside)
    if verdict == ASSUMED:
        sentence += " That it added and did not take away is the prior's assumption."
    return Finding(channel, verdict, sentence, reason)


def _beside(row: pd.Series) -> str:
    """One more sentence: the slope, or what a unit of money brought; none where it has no number."""
    if not math.isfinite(row["mean"]):
        return ""
    if row.name == "roas":
        return f" For each unit of money spent: {number(row['mean'])}."
    return f" One more exposure: {number(row['mean'], signed=True)} {row['unit'].split(' per ')[0]}."
