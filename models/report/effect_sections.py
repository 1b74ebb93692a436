"""Sections of effects and of the graph, each from its own table, and a plain sentence where it has no rows."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from models.report.charts import Chart, edge_chart, interval_chart, interval_rows, spread_chart
from models.report.section import MOST_ROWS, Section, TextTable
from models.report.tables import ReportTables
from models.report.wording import VERDICT_WORDS, interval, level_words, number, verdict_of

MOST_MARKETS = 12  # at each end of a chart
#: By the primary model: another's numbers would stand unexplained beside those of the first screen.
TOTAL_CHARTS = {"contribution": "What each channel brought", "roas": "What a unit of money spent brought"}


def channels_section(tables: ReportTables, colors: dict[str, str]) -> Section:
    """Every channel: primary slope as a chart, all methods as a table."""
    effects = tables.channel_effects
    charts = [
        _channel_chart(_primary(effects, "slope"), "slope", "What one more exposure is worth", colors),
        *(
            _channel_chart(_totals(effects, estimand), estimand, title, colors)
            for estimand, title in TOTAL_CHARTS.items()
        ),
    ]
    return Section(
        "channels",
        "Channels",
        "The hierarchical model of consumers is primary where there are any, else the response model of markets; other "
        "methods stand beside it in the table, so that disagreement shows.",
        tuple(chart for chart in charts if chart is not None),
        (_effects_table("All methods and estimands", effects, []),) if len(effects) else (),
        empty="" if len(effects) else "No effect is published: no model has passed the gate yet.",
    )


def _channel_chart(rows: pd.DataFrame, estimand: str, title: str, colors: dict[str, str]) -> Chart | None:
    """One line a channel; None where no row has a number."""
    if not rows["mean"].notna().any():
        return None
    shown = interval_rows(rows, "channel_id")
    words = f"Mean and {level_words(rows['interval_level'])} of the {estimand}, {shown['unit'].iloc[0]}; "
    return Chart(
        f"channel_{estimand}s",
        title,
        words + "hollow: not identified.",
        _spoken(shown),
        interval_chart(shown, colors),
    )


def markets_section(tables: ReportTables, colors: dict[str, str]) -> Section:
    """Slope by market: one channel at a time, the markets at both ends where there are many."""
    slopes = _primary(tables.market_channel_effects, "slope")
    slopes = slopes[slopes["mean"].notna()]
    if slopes.empty:
        return Section("markets", "Markets", "", empty="No effects by market are published.")
    count, note = slopes["market_id"].nunique(), ""
    ranks = slopes.groupby("channel_id")["mean"].rank(method="first")
    ends = (ranks <= MOST_MARKETS) | (
        ranks > slopes.groupby("channel_id")["mean"].transform("size") - MOST_MARKETS
    )
    if count > 2 * MOST_MARKETS:
        note = (
            f" The {MOST_MARKETS} highest and lowest of {count} markets; all are in market_channel_effects."
        )
    rows = interval_rows(slopes[ends], "market_id")
    spec = interval_chart(rows, colors, by_size=True, choose=True)
    caption = f"Mean and {level_words(slopes['interval_level'])} of the slope, one channel at a time.{note}"
    alt = f"Slopes of {count} markets, one channel at a time; the table below has the numbers."
    return Section(
        "markets",
        "Markets",
        "Markets with little data are drawn towards the mean of all: what differs here is what the data could show.",
        (Chart("market_slopes", "What one more exposure is worth, by market", caption, alt, spec),),
        (_effects_table("Slopes by market", slopes, ["market_id"]),),
    )


def segments_section(tables: ReportTables, colors: dict[str, str]) -> Section:
    """Slope by segment of consumers, one channel at a time."""
    slopes = _primary(tables.segment_channel_effects, "slope")
    slopes = slopes[slopes["mean"].notna()]
    if slopes.empty:
        return Section("segments", "Segments", "", empty="No effects by segment are published.")
    named = slopes.assign(segment=slopes["segment_name"] + ": " + slopes["segment_value"])
    rows = interval_rows(named, "segment")
    spec = interval_chart(rows, colors, choose=True)
    level, count = level_words(slopes["interval_level"]), rows["label"].nunique()
    caption = f"Mean and {level} of the slope, one channel at a time. Small segments are pooled."
    alt = f"Slopes of {count} segments of consumers, one channel at a time; the table below has the numbers."
    return Section(
        "segments",
        "Segments",
        "Segments are made of what was known before the panel began, never of purchases or exposures in it.",
        (Chart("segment_slopes", "What one more exposure is worth, by segment", caption, alt, spec),),
        (_effects_table("Slopes by segment", named, ["segment"]),),
    )


def people_section(tables: ReportTables, colors: dict[str, str]) -> Section:
    """How consumers' own slopes spread, and how much of them their own history decided."""
    quantiles = tables.consumer_quantiles
    if quantiles.empty:
        return Section("people", "Personal differences", "", empty="No effects by consumer are published.")
    spec = spread_chart(quantiles, {c: colors[c] for c in quantiles["channel_id"]})
    rows = tuple(
        (
            r.channel_id,
            f"{r.consumers_count:,}",
            number(r.q50, signed=True),
            interval(r.q25, r.q75),
            interval(r.q05, r.q95),
            f"{100 * r.learned_q50:.0f} %",
            f"{100 * r.learned_q95:.0f} %",
        )
        for r in quantiles.itertuples(index=False)
    )
    headers = (
        "channel",
        "consumers",
        "median",
        "half lie in",
        "nine tenths lie in",
        "learned, median",
        "learned, top 5 %",
    )
    alt = "; ".join(f"{r[0]}: median {r[2]}, nine tenths between {r[4]}" for r in rows)
    return Section(
        "people",
        "Personal differences",
        "Posterior means of consumers' own slopes. “Learned” is the share that a consumer's own history decided; near "
        "zero, the number is the consumer's segment and market speaking. No single consumer is shown.",
        (
            Chart(
                "consumer_slopes", "How consumers differ", f"Slope, {quantiles['unit'].iloc[0]}.", alt, spec
            ),
        ),
        (TextTable("Quantiles over consumers", headers, rows, (1, 2, 3, 4, 5, 6)),),
    )


def graph_section(tables: ReportTables) -> Section:
    """Predictive edges between channels, mediators and GMV, averaged over markets."""
    edges = tables.causal_graph_edges
    title, lead = (
        "Causal graph",
        (
            "Which series help to predict which, period by period, averaged over markets. Predictive is not causal: an "
            "edge is a proposal for a person to accept."
        ),
    )
    if edges.empty:
        return Section("graph", title, "", empty="No graph was fitted.")
    numbers = ["edge_probability", "selection_frequency", "lag", "sign"]
    mean = edges.groupby(["source_id", "target_id"], as_index=False)[numbers].mean()
    strong = mean.sort_values("edge_probability", ascending=False)
    rows = tuple(
        (
            r.source_id,
            r.target_id,
            f"{100 * r.edge_probability:.0f} %",
            "–" if pd.isna(r.selection_frequency) else f"{100 * r.selection_frequency:.0f} %",
            number(r.lag),
            number(r.sign, signed=True),
        )
        for r in strong.itertuples(index=False)
    )
    likely = [
        f"{r[0]} predicts {r[1]} ({r[2]})"
        for r, p in zip(rows, strong["edge_probability"], strict=True)
        if p > 0.5
    ]
    alt = "Edges more likely than not: " + ("; ".join(likely) if likely else "none") + "."
    caption = f"Mean posterior probability of an edge over {edges['market_id'].nunique()} markets."
    headers = (
        "predicts",
        "is predicted",
        "probability",
        "selected in halves of the markets",
        "lag (periods)",
        "sign",
    )
    return Section(
        "graph",
        title,
        lead,
        (Chart("edges", "Predictive edges", caption, alt, edge_chart(mean)),),
        (TextTable("Edges", headers, rows[:MOST_ROWS], (2, 3, 4, 5)),),
    )


def _totals(effects: pd.DataFrame, estimand: str) -> pd.DataFrame:
    """Primary rows of an estimand of all recorded exposures: the consumers' model, or that of markets, carried over."""
    places = effects["exposure_distribution"].isin(("panel_rows", "market_periods"))
    return effects[effects["is_primary"] & effects["estimand"].eq(estimand) & places]


def _primary(effects: pd.DataFrame, estimand: str) -> pd.DataFrame:
    chosen = (
        effects["is_primary"]
        & effects["estimand"].eq(estimand)
        & effects["exposure_distribution"].eq("panel_rows")
    )
    return effects[chosen & effects["horizon"].eq("immediate")]


def _effects_table(caption: str, effects: pd.DataFrame, keys: Sequence[str]) -> TextTable:
    """Effect rows as text, primary ones first."""
    ordered = effects.sort_values(
        ["is_primary", "estimand", *keys, "channel_id"], ascending=[False] + [True] * (2 + len(keys))
    )
    rows = []
    for _, row in ordered.head(MOST_ROWS).iterrows():
        reason = "" if row["is_identified"] else str(row["not_identified_reason"] or "")
        rows.append(
            (
                *[str(row[key]) for key in keys],
                str(row["channel_id"]),
                str(row["estimand"])
                + (" (exposure weighted)" if row["exposure_distribution"] == "exposure_weighted" else ""),
                str(row["method"]) + (" (total)" if row["horizon"] == "total" else ""),
                number(row["mean"], signed=True),
                interval(row["interval_lower"], row["interval_upper"]),
                str(row["unit"] or ""),
                " ".join(VERDICT_WORDS[verdict_of(row)]) + (f": {reason}" if reason else ""),
            )
        )
    more = f" (first {MOST_ROWS} of {len(effects):,} rows)" if len(effects) > MOST_ROWS else ""
    level = level_words(effects["interval_level"])
    headers = (*keys, "channel", "estimand", "method", "mean", level, "unit", "verdict")
    first = len(keys) + 3
    return TextTable(caption + more, headers, tuple(rows), (first, first + 1))


def _spoken(rows: pd.DataFrame) -> str:
    return "; ".join(f"{r.label}: {r.shown} ({r.range}), {r.verdict}" for r in rows.itertuples(index=False))
