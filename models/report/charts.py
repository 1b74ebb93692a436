"""Vega-Lite charts of the report, from result tables: dictionaries that a browser draws, with words for who cannot see.

Altair, because the page answers a hovering pointer with the number, its interval and unit, and reflows on a phone;
one colour a channel across all charts, signs beside colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from models.figures.drawing import GREY, PALETTE
from models.report.wording import VERDICT_WORDS, interval, number, verdict_of

BAND = 22  # pixels a row
_LABELS = {"labelLimit": 270, "ticks": False, "domain": False}


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """spec : Vega-Lite. title, caption : text around it. alt : what it shows, for who cannot see it."""

    key: str
    title: str
    caption: str
    alt: str
    spec: dict[str, Any]


def channel_colors(channels: Sequence[str]) -> dict[str, str]:
    """One colour a channel, by alphabetical place; the same in every chart of one report."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(sorted(channels))}


def interval_rows(effects: pd.DataFrame, label: str) -> pd.DataFrame:
    """What an interval chart draws of effect rows with a number: label, numbers, verdict and the words of a tooltip."""
    rows = effects[effects["mean"].notna()]
    verdicts = [verdict_of(row) for _, row in rows.iterrows()]
    return pd.DataFrame(
        {
            "label": rows[label].astype(str).to_numpy(),
            "channel": rows["channel_id"].astype(str).to_numpy(),
            "mean": rows["mean"].to_numpy(dtype=float),
            "lower": rows["interval_lower"].to_numpy(dtype=float),
            "upper": rows["interval_upper"].to_numpy(dtype=float),
            "verdict": [" ".join(VERDICT_WORDS[v]) for v in verdicts],
            "is_identified": rows["is_identified"].astype(bool).to_numpy(),
            "shown": [number(v, signed=True) for v in rows["mean"]],
            "range": [
                interval(a, b) for a, b in zip(rows["interval_lower"], rows["interval_upper"], strict=True)
            ],
            "unit": rows["unit"].astype(str).to_numpy(),
            "method": rows["method"].astype(str).to_numpy(),
        }
    )


def interval_chart(
    rows: pd.DataFrame, colors: dict[str, str], by_size: bool = False, choose: bool = False
) -> dict[str, Any]:
    """Points with intervals, one line a label, in the order of the labels or of the means; hollow: not identified.

    rows : of `interval_rows`, in one unit. choose : one channel at a time, picked from a list below the chart (the
        first of colors to begin with), instead of all.
    """
    import altair as alt

    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    base = alt.Chart(rows).encode(
        y=alt.Y(
            "label:N",
            sort=alt.EncodingSortField("mean", op="mean", order="descending") if by_size else "ascending",
            title=None,
            axis=_LABELS,
        ),
        stroke=alt.Stroke("channel:N", scale=scale, legend=None),
        tooltip=[
            alt.Tooltip("channel:N", title="channel"),
            alt.Tooltip("label:N", title="of"),
            alt.Tooltip("shown:N", title="mean"),
            alt.Tooltip("range:N", title="interval"),
            alt.Tooltip("unit:N", title="unit"),
            alt.Tooltip("method:N", title="method"),
            alt.Tooltip("verdict:N", title="verdict"),
        ],
    )
    if choose:
        names = sorted(rows["channel"].unique())
        picker = alt.param(
            name="channel_shown", bind=alt.binding_select(options=names, name="channel "), value=names[0]
        )
        base = base.add_params(picker).transform_filter("datum.channel === channel_shown")
    line = base.mark_rule(strokeWidth=2.5).encode(
        x=alt.X("lower:Q", title=rows["unit"].iloc[0], scale=alt.Scale(zero=True, nice=True)), x2="upper:Q"
    )
    # one mark for both kinds of point: with filters of their own the layers would lose the order of the labels
    fill = alt.condition(
        "datum.is_identified", alt.Fill("channel:N", scale=scale, legend=None), alt.value("white")
    )
    point = base.mark_point(size=80, opacity=1, strokeWidth=2.5).encode(x="mean:Q", fill=fill)
    lines = rows.groupby("channel")["label"].nunique().max() if choose else rows["label"].nunique()
    zero = (
        alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=GREY, strokeDash=[4, 3]).encode(x="zero:Q")
    )
    return _finished(alt.layer(zero, line, point), height=BAND * max(lines, 2) + 10)


def spread_chart(quantiles: pd.DataFrame, colors: dict[str, str]) -> dict[str, Any]:
    """How consumers' own effects spread: nine tenths as a thin line, half as a thick one, the median as a dot.

    quantiles : rows of `consumer_quantiles` (one unit).
    """
    import altair as alt

    rows = quantiles.rename(columns={"channel_id": "channel"}).assign(
        half=[interval(a, b) for a, b in zip(quantiles["q25"], quantiles["q75"], strict=True)],
        nine_tenths=[interval(a, b) for a, b in zip(quantiles["q05"], quantiles["q95"], strict=True)],
    )
    base = alt.Chart(rows).encode(
        y=alt.Y("channel:N", title=None, axis=_LABELS),
        color=alt.Color(
            "channel:N", scale=alt.Scale(domain=list(colors), range=list(colors.values())), legend=None
        ),
        tooltip=[
            alt.Tooltip("channel:N"),
            alt.Tooltip("q50:Q", title="median", format=".3~g"),
            alt.Tooltip("half:N", title="half of the consumers"),
            alt.Tooltip("nine_tenths:N", title="nine tenths"),
            alt.Tooltip("consumers_count:Q", title="consumers", format=","),
        ],
    )
    unit = rows["unit"].iloc[0] if len(rows) else ""
    wide = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("q05:Q", title=unit, scale=alt.Scale(zero=True)), x2="q95:Q"
    )
    half = base.mark_rule(strokeWidth=8, opacity=0.55).encode(x="q25:Q", x2="q75:Q")
    middle = base.mark_point(filled=True, size=70, opacity=1).encode(x="q50:Q")
    zero = (
        alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=GREY, strokeDash=[4, 3]).encode(x="zero:Q")
    )
    return _finished(alt.layer(zero, wide, half, middle), height=BAND * 1.4 * max(len(rows), 2))


def edge_chart(edges: pd.DataFrame) -> dict[str, Any]:
    """Mean probability of each predictive edge over markets: sources down, targets across, selection in the tooltip.

    edges : source_id, target_id, edge_probability, selection_frequency, lag, sign; one row a pair.
    """
    import altair as alt

    rows = edges.assign(
        percent=(100 * edges["edge_probability"]).round().astype(int).astype(str) + " %",
        selected=(100 * edges["selection_frequency"]).round().astype("Int64").astype(str) + " %",
        is_dark=edges["edge_probability"] > 0.55,
    )
    names = sorted(set(rows["source_id"]) | set(rows["target_id"]))
    base = alt.Chart(rows).encode(
        x=alt.X(
            "target_id:N", title="is predicted", sort=names, axis=alt.Axis(labelAngle=-40, labelLimit=140)
        ),
        y=alt.Y("source_id:N", title="predicts", sort=names, axis=alt.Axis(labelLimit=140)),
        tooltip=[
            alt.Tooltip("source_id:N", title="predicts"),
            alt.Tooltip("target_id:N", title="is predicted"),
            alt.Tooltip("percent:N", title="mean probability"),
            alt.Tooltip("selected:N", title="selected in halves of the markets"),
            alt.Tooltip("lag:Q", title="mean lag in periods", format=".1f"),
            alt.Tooltip("sign:Q", title="sign (−1 to 1)", format=".2f"),
        ],
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "edge_probability:Q", scale=alt.Scale(domain=[0, 1], range=["#f3f5f8", "#1f5f99"]), legend=None
        )
    )
    words = base.mark_text(fontSize=11).encode(
        text="percent:N", color=alt.condition("datum.is_dark", alt.value("white"), alt.value("#333"))
    )
    return _finished(alt.layer(cells, words), height=34 * max(len(names), 2))


def error_chart(comparison: pd.DataFrame) -> dict[str, Any]:
    """Root mean square error of every method on held-out rows, one dot a split.

    comparison : rows of model_comparison of metric rmse, with numbers.
    """
    import altair as alt

    rows = comparison.assign(shown=[number(v) for v in comparison["value"]])
    order = rows.groupby("method")["value"].mean().sort_values().index.tolist()
    chart = (
        alt.Chart(rows)
        .mark_point(filled=True, size=70, opacity=0.85)
        .encode(
            x=alt.X(
                "value:Q", title="root mean square error per consumer-period", scale=alt.Scale(zero=False)
            ),
            y=alt.Y("method:N", sort=order, title=None, axis=_LABELS),
            shape=alt.Shape("split_kind:N", title="held out"),
            color=alt.condition("datum.method === 'hbmmm'", alt.value(PALETTE[0]), alt.value(GREY)),
            tooltip=["method:N", "split_kind:N", "split:N", alt.Tooltip("shown:N", title="error"), "unit:N"],
        )
    )
    return _finished(chart, height=BAND * max(len(order), 2) + 10)


def _finished(chart: Any, height: float) -> dict[str, Any]:
    """As wide as its place, without frame; no link to a site."""
    spec = (
        chart.properties(width="container", height=round(height))
        .configure(
            font="system-ui, sans-serif", background="transparent"
        )  # first: it replaces what stands before
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=12, titleFontSize=12, titleFontWeight="normal", gridColor="#e6e8ec")
        .to_dict()
    )
    spec.pop("$schema", None)
    return spec
