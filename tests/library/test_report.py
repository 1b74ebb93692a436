"""The report says what the tables say: verdicts, counts of checks, and nothing that is not there."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.errors import PanelError
from models.report.charts import channel_colors, interval_chart, interval_rows
from models.report.effect_sections import _totals
from models.report.health import judge
from models.report.page import ReportIdentity, render_report
from models.report.tables import ReportTables
from models.report.wording import findings, interval, number

IDENTITY = ReportIdentity("shop & sons", "month", {"mediamix": "0.1"})
DATE = pd.Timestamp("2024-06-30")


def effect(channel, estimand, mean, lower, upper, **more):
    row = {
        "as_of_date": DATE,
        "channel_id": channel,
        "estimand": estimand,
        "method": "hbmmm",
        "model_name": "mediamix-hbmmm",
        "model_version": "1",
        "horizon": "immediate",
        "exposure_distribution": "panel_rows",
        "mean": mean,
        "interval_lower": lower,
        "interval_upper": upper,
        "interval_level": 0.95,
        "unit": "USD" if estimand == "contribution" else "USD per exposure",
        "is_primary": True,
        "is_identified": True,
        "not_identified_reason": None,
        "data_version": "d",
    }
    return row | more


BLOCKED = {"is_identified": False, "not_identified_reason": "lead placebo failed: p 0.001"}
CHANNELS = [
    effect("mail", "contribution", 1000.0, 400.0, 1600.0),
    effect("mail", "slope", 0.5, 0.2, 0.8),
    effect("tv", "contribution", 5000.0, -300.0, 9000.0),
    effect("tv", "slope", 0.1, -0.2, 0.3),
    effect("<b>social</b>", "contribution", 9000.0, 8000.0, 9900.0, **BLOCKED),
    effect("<b>social</b>", "slope", 2.0, 1.0, 3.0, **BLOCKED),
    effect("radio", "contribution", -800.0, -900.0, -700.0),
]
COLUMNS = {
    "channel_effects": " ".join(CHANNELS[0]),
    "market_channel_effects": " ".join([*CHANNELS[0], "market_id"]),
    "segment_channel_effects": " ".join([*CHANNELS[0], "segment_name", "segment_value"]),
    "consumer_quantiles": "channel_id unit consumers_count q05 q25 q50 q75 q95 learned_q50 learned_q95",
    "causal_graph_edges": "as_of_date market_id source_id target_id edge_probability selection_frequency lag sign",
    "placebo_results": "as_of_date placebo_kind channel_id p_value passed reason",
    "robustness_checks": "as_of_date specification_kind specification channel_id estimand mean interval_lower "
    "interval_upper interval_level unit difference sign_holds reason",
    "model_comparison": "as_of_date split_kind split method metric value unit variant reason",
    "gate_checks": "as_of_date model_name check_name outcome text",
    "family_status": "as_of_date family status reason",
    "data_quality": "table_name reason_code rows_count",
}


def tables(**given):
    return ReportTables(
        **{name: pd.DataFrame(given.get(name, []), columns=of.split()) for name, of in COLUMNS.items()}
    )


GATE = [
    {"as_of_date": DATE, "model_name": "m", "check_name": name, "outcome": outcome, "text": "found"}
    for name, outcome in (("converged", "passed"), ("baseline", "not_evaluated"), ("quality", "failed"))
]


def test_each_channel_gets_the_verdict_of_its_interval_and_identification():
    found = {one.channel_id: one for one in findings(pd.DataFrame(CHANNELS))}
    verdicts = {name: one.verdict for name, one in found.items()}
    assert verdicts == {
        "mail": "raised", "radio": "lowered", "tv": "unclear", "<b>social</b>": "not_identified",
    }  # fmt: skip
    assert "400 to 1,600" in found["mail"].sentence and "+0.500 USD" in found["mail"].sentence
    assert "do not tell it from nothing" in found["tv"].sentence
    assert found["<b>social</b>"].reason == "lead placebo failed: p 0.001"
    assert [one.channel_id for one in findings(pd.DataFrame(CHANNELS))][-1] == "<b>social</b>"


def test_only_primary_immediate_rows_make_a_finding():
    rows = [effect("tv", "contribution", 1.0, 0.5, 2.0, is_primary=False)]
    rows += [effect("tv", "contribution", 1.0, 0.5, 2.0, horizon="total")]
    assert findings(pd.DataFrame(rows)) == ()
    missing = findings(pd.DataFrame([effect("tv", "contribution", np.nan, np.nan, np.nan)]))
    assert [one.verdict for one in missing] == ["unknown"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234.5, "1,234"), (12.345, "12.3"), (0.01234, "0.0123"), (-0.5, "−0.500"), (np.nan, "–"),
     (None, "–"), (3e-6, "3.0e−06")],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_intervals_without_bounds_are_a_dash():
    assert interval(1.0, 2.0) == "1.00 to 2.00"
    assert interval(np.nan, 2.0) == "–"


def test_health_counts_outcomes_and_never_takes_not_evaluated_for_a_pass():
    placebos = [
        {
            "as_of_date": DATE,
            "placebo_kind": "lead",
            "channel_id": c,
            "p_value": 0.2,
            "passed": p,
            "reason": r,
        }
        for c, p, r in (("tv", True, None), ("mail", None, "not evaluated: no replicates"))
    ]
    families = [
        {"as_of_date": DATE, "family": name, "status": status, "reason": reason}
        for name, status, reason in (
            ("hbmmm", "evaluated", None),
            ("carryover", "not_evaluated", "nobody ran it"),
        )
    ]
    health = judge(tables(gate_checks=GATE, placebo_results=placebos, family_status=families))
    assert health.counts == {"passed": 2, "failed": 1, "not_evaluated": 3}
    assert not health.is_sound
    assert health.summary == "1 of 6 checks failed; 3 of 6 were not evaluated, which is not a pass."
    assert health.checks.query("group == 'family'")["name"].tolist() == ["carryover"]
    assert judge(tables(gate_checks=GATE[:1])).is_sound
    assert not judge(tables()).is_sound
    assert "No check was made" in judge(tables()).summary


def test_a_sign_that_turns_in_another_specification_fails():
    row = {"as_of_date": DATE, "specification_kind": "prior", "specification": "halved", "channel_id": "tv"}
    row |= {"estimand": "slope", "mean": 1.0, "sign_holds": True}
    other = row | {"specification": "doubled", "sign_holds": False}
    assert judge(tables(robustness_checks=[row])).counts["passed"] == 1
    turned = judge(tables(robustness_checks=[row, other]))
    assert turned.counts["failed"] == 1 and "tv turns" in turned.checks["text"][0]


def test_a_model_worse_than_a_simple_rival_fails():
    def errors(ours, rival="pooled_ols"):
        base = {"as_of_date": DATE, "split_kind": "rolling_origin", "split": "1", "metric": "rmse"}
        return [base | {"method": "hbmmm", "value": ours}, base | {"method": rival, "value": 2.0}]

    assert judge(tables(model_comparison=errors(1.5))).counts["passed"] == 1
    assert judge(tables(model_comparison=errors(2.5))).counts["failed"] == 1
    assert judge(tables(model_comparison=errors(1.5, rival="oracle"))).counts["not_evaluated"] == 1


def test_the_page_is_one_file_that_reaches_nowhere_and_escapes_names():
    page = render_report(tables(channel_effects=CHANNELS, gate_checks=GATE), IDENTITY)
    assert len(page.encode()) < 5_000_000
    assert page == render_report(tables(channel_effects=CHANNELS, gate_checks=GATE), IDENTITY)
    assert "shop &amp; sons" in page
    written = page[: page.index('<script type="application/json"')]
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', written)
    assert "<b>social" not in written
    assert "default-src 'none'" in page
    specs = json.loads(re.search(r'id="specs">(.*?)</script>', page, re.S)[1].replace("<\\/", "</"))
    assert set(specs) == {"channel_slopes", "channel_contributions"}


def test_without_effects_the_first_screen_says_so():
    page = render_report(tables(gate_checks=GATE), IDENTITY)
    first = page[: page.index("<nav")]
    assert "No primary effect is published." in first and "1 of 3 checks failed" in first
    with pytest.raises(PanelError, match="no reporting table has a row"):
        render_report(tables(), IDENTITY)


def test_only_the_newest_date_is_shown():
    old = effect("mail", "contribution", -5.0, -6.0, -4.0, as_of_date=pd.Timestamp("2024-05-31"))
    both = tables(channel_effects=[old, *CHANNELS])
    assert both.newest().as_of_date == "2024-06-30"
    assert len(both.newest().channel_effects) == len(CHANNELS)
    as_dates = replace(
        both, channel_effects=both.channel_effects.assign(as_of_date=lambda t: t["as_of_date"].dt.date)
    )
    assert as_dates.newest().as_of_date == "2024-06-30"


def test_a_channel_has_one_colour_and_points_that_are_not_identified_are_hollow():
    colors = channel_colors(["tv", "mail"])
    assert colors == channel_colors(["mail", "tv"]) and len(set(colors.values())) == 2
    spec = interval_chart(
        interval_rows(pd.DataFrame(CHANNELS).query("estimand == 'slope'"), "channel_id"), colors
    )
    (fill,) = [layer["encoding"]["fill"] for layer in spec["layer"] if "fill" in layer["encoding"]]
    assert json.dumps(fill).count("white") == 1 and "is_identified" in json.dumps(fill)


def in_chromium(page, folder):
    """The document after its scripts ran, in Debian's chromium without a network."""
    browser = shutil.which("chromium")
    assert browser, "this test draws the report in a browser: install Debian's package chromium"
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000"]
    command += [
        f"--user-data-dir={folder / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--dump-dom",
    ]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_browser_draws_every_chart_and_says_what_it_shows(tmp_path):
    slope = effect("tv", "slope", 0.1, -0.2, 0.3)
    markets = [slope | {"market_id": f"m{i}", "mean": i / 10} for i in range(3)]
    edges = [
        {
            "as_of_date": DATE,
            "market_id": "m1",
            "source_id": "tv",
            "target_id": "gmv",
            "edge_probability": 0.9,
        }
    ]
    edges[0] |= {"selection_frequency": 0.8, "lag": 1.0, "sign": 1.0}
    spread = {"channel_id": "tv", "unit": "USD per exposure", "consumers_count": 500, "q05": -1.0, "q25": 0.0}
    spread |= {"q50": 0.1, "q75": 0.2, "q95": 1.0, "learned_q50": 0.1, "learned_q95": 0.4}
    error = {
        "as_of_date": DATE,
        "split_kind": "rolling_origin",
        "split": "1",
        "metric": "rmse",
        "unit": "USD",
    }
    given = tables(
        channel_effects=CHANNELS,
        market_channel_effects=markets,
        segment_channel_effects=[slope | {"segment_name": "age", "segment_value": "low"}],
        consumer_quantiles=[spread],
        causal_graph_edges=edges,
        model_comparison=[error | {"method": "hbmmm", "value": 1.0}, error | {"method": "ols", "value": 2.0}],
        gate_checks=GATE,
    )
    document = in_chromium(render_report(given, IDENTITY), tmp_path)
    names = {"channel_slopes", "channel_contributions", "market_slopes", "segment_slopes", "consumer_slopes"}
    names |= {"edges", "errors"}
    assert 'data-drawn="7"' in document
    labels = dict(re.findall(r'id="chart-(\w+)".*?<svg[^>]*aria-label="([^"]*)"', document, re.S))
    assert set(labels) == names
    assert "mail: +0.500 (0.200 to 0.800)" in labels["channel_slopes"]
    assert "tv predicts gmv (90 %)" in labels["edges"]


def of_markets(channel, estimand, mean, lower, upper, **more):
    named = {"method": "response", "model_name": "mediamix-response", "horizon": "total"}
    unit = "EUR" if estimand == "contribution" else "ratio"
    named |= {"exposure_distribution": "market_periods", "unit": unit}
    return effect(channel, estimand, mean, lower, upper, **(named | more))


def test_market_only_data_are_reported_by_the_response_model():
    nothing = {"is_identified": False, "not_identified_reason": "no causal graph"}
    known = {"probability_positive": 0.99}
    rows = [
        of_markets("tv", "contribution", 900.0, 500.0, 1300.0, **known),
        of_markets("tv", "roas", 2.5, 1.4, 3.6),
    ]
    rows += [of_markets("radio", "contribution", 70.0, 10.0, 90.0, **nothing)]
    rows += [of_markets("radio", "roas", np.nan, np.nan, np.nan, **nothing)]
    found = findings(pd.DataFrame(rows))
    assert [one.channel_id for one in found] == ["tv", "radio"]
    assert found[0].sentence == (
        "Added 900 EUR (95 % interval 500 to 1,300) in all. For each unit of money spent: 2.50."
    )
    assert found[1].reason == "no causal graph" and "cannot say" in found[1].sentence
    (assumed,) = findings(pd.DataFrame([rows[0] | {"probability_positive": np.nan}]))
    assert (assumed.verdict, assumed.sign) == ("assumed", "△")
    assert assumed.sentence.endswith("That it added and did not take away is the prior's assumption.")
    page = render_report(tables(channel_effects=rows), IDENTITY)
    assert "What each channel brought" in page and "What a unit of money spent brought" in page
    assert "No primary effect is published." not in page
    consumers = [*CHANNELS, of_markets("tv", "contribution", 9.0, 8.0, 10.0, is_primary=False)]
    assert findings(pd.DataFrame(consumers)) == findings(pd.DataFrame(CHANNELS))
    drawn = _totals(pd.DataFrame(consumers), "contribution")  # the chart shows what the first screen says
    assert set(drawn["exposure_distribution"]) == {"panel_rows"} and len(drawn) >= 4
