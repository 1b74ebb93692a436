"""Sections that say how far the effects can be trusted: other specifications, predictions, checks, landed rows."""

from __future__ import annotations

import base64

import pandas as pd

from models.figures.robustness import robustness_heatmap
from models.report.charts import Chart, error_chart
from models.report.health import GROUP_WORDS, Health
from models.report.section import MOST_ROWS, Picture, Section, TextTable
from models.report.tables import ReportTables
from models.report.wording import interval, number


def robustness_section(tables: ReportTables) -> Section:
    """Would it have come out otherwise: the heatmap with its dendrogram, or why it was not made."""
    table = tables.robustness_checks
    title = "Would it have come out otherwise?"
    if table.empty or table["mean"].isna().all():
        reasons = table["reason"].dropna().unique()
        return Section(
            "robustness", title, "", empty=str(reasons[0]) if len(reasons) else "No specification was tried."
        )
    source = "data:image/png;base64," + base64.b64encode(robustness_heatmap(table)).decode()
    slopes = table[table["estimand"].eq("slope") & table["mean"].notna()]
    rows = tuple(
        (
            r.specification,
            r.channel_id,
            number(r.mean, signed=True),
            interval(r.interval_lower, r.interval_upper),
            number(r.difference, signed=True),
        )
        for r in slopes.itertuples(index=False)
    )
    alt = f"Heatmap of {slopes['specification'].nunique()} specifications by channel; the table has the numbers."
    return Section(
        "robustness",
        title,
        "The model fitted again under other priors, other consumers, other periods, other columns. Stability is not "
        "truth: a bias that every specification shares passes them all.",
        pictures=(Picture("Slopes under every specification", alt, source),),
        tables=(
            TextTable(
                "Slopes by specification",
                ("specification", "channel", "mean", "interval", "less the baseline"),
                rows[:MOST_ROWS],
                (2, 3, 4),
            ),
        ),
    )


def comparison_section(tables: ReportTables) -> Section:
    """Errors on held-out rows, and information criteria."""
    table = tables.model_comparison
    errors = table[
        table["metric"].eq("rmse") & table["value"].notna() & table["split_kind"].ne("fitted_rows")
    ]
    title = "Does it predict?"
    if errors.empty:
        reasons = table["reason"].dropna().unique()
        return Section(
            "comparison", title, "", empty=str(reasons[0]) if len(reasons) else "No comparison was made."
        )
    shown = table[table["value"].notna()]
    rows = tuple(
        (
            r.method,
            r.split_kind,
            str(r.split),
            r.metric,
            number(r.value),
            "" if pd.isna(r.variant) else str(r.variant),
        )
        for r in shown.itertuples(index=False)
    )
    means = errors.groupby("method")["value"].mean().sort_values()
    alt = "Mean errors: " + ", ".join(f"{name} {number(value)}" for name, value in means.items())
    return Section(
        "comparison",
        title,
        "Rows that no method was fitted to. A model that predicts well need not be right about effects.",
        (
            Chart(
                "errors",
                "Errors on held-out rows",
                "Smaller is better; one mark a split.",
                alt,
                error_chart(errors),
            ),
        ),
        (
            TextTable(
                "All measures",
                ("method", "held out", "split", "measure", "value", "variant"),
                rows[:MOST_ROWS],
                (4,),
            ),
        ),
    )


def checks_section(health: Health) -> Section:
    """Every check by name."""
    rows = tuple(
        (GROUP_WORDS[r.group], r.name, r.outcome.replace("_", " "), r.text)
        for r in health.checks.itertuples(index=False)
    )
    return Section(
        "checks",
        "Checks and placebos",
        health.summary,
        tables=(TextTable("Every check", ("kind", "check", "outcome", "what was found"), rows),)
        if rows
        else (),
    )


def quality_section(tables: ReportTables) -> Section:
    """Landed rows by table and what became of them."""
    quality = tables.data_quality
    if quality.empty:
        return Section("quality", "Data quality", "", empty="No row was landed.")
    counts = quality.groupby(["table_name", "reason_code"], as_index=False)["rows_count"].sum()
    rows = tuple((r.table_name, r.reason_code, f"{r.rows_count:,}") for r in counts.itertuples(index=False))
    total = int(counts["rows_count"].sum())
    refused = total - int(counts.loc[counts["reason_code"].eq("accepted"), "rows_count"].sum())
    return Section(
        "quality",
        "Data quality",
        f"{refused:,} of {total:,} landed rows were refused, each with a reason; the rows themselves lie in schema "
        "quarantine of the warehouse.",
        tables=(TextTable("Landed rows", ("table", "accepted, or the reason", "rows"), rows, (2,)),),
    )
