"""Market-only data through the whole product: what can be made is made, the rest says why not."""

import duckdb
import pytest

EFFECT_TABLES = (
    "channel_effects",
    "market_channel_effects",
    "segment_channel_effects",
    "consumer_channel_effects",
)


@pytest.fixture(scope="module")
def market_only(run_product, contract_tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("markets")
    contract_tables.write_tables(contract_tables.build_market_only_tables(), folder / "source")
    return run_product(folder / "home", folder / "source")


def test_market_only_data_says_exactly_what_is_not_evaluated(market_only):
    statuses = market_only.table("family_status", "family, status, reason", "order by family")
    reason = "no consumer data"
    others = ("carryover", "causal", "hbmmm", "overlap", "placebo", "within_consumer")
    expected = [(family, "not_evaluated", reason) for family in others]
    assert statuses == sorted([*expected, ("causal_graph", "evaluated", None)])
    lines = sorted(line for line in market_only.text.splitlines() if line.startswith("check not passed"))
    assert [line.removeprefix("check not passed ").split(":")[0] for line in lines] == [
        "effects/exposure_overlap overlap_is_sufficient",
        "hbmmm/hbmmm_posterior converged",
        "registry/gate_checks gate_is_passed",
        "robustness/placebo_results lead_placebo_is_null",
    ]
    assert all("not evaluated" in line for line in lines)


def test_market_only_data_still_has_its_marts_and_its_quality(market_only):
    rows = duckdb.sql(
        f"select count(*), sum(gmv_net_amount) > 0 from '{market_only.home}/marts/market_periods/*/*.parquet'"
    ).fetchall()
    assert rows == [(90, True)]
    for name in (*EFFECT_TABLES, "placebo_results", "robustness_checks", "model_comparison"):
        assert market_only.table(name, "count(*)") == [(0,)]
    pairs = market_only.table("causal_graph_edges", "distinct source_id, target_id", "order by all")
    assert [target for _, target in pairs].count("gmv") == 2  # two channels, and GMV precedes nothing
    assert market_only.table("data_quality", "table_name, reason_code, rows_count", "order by all") == [
        ("market_outcomes", "accepted", 90),
        ("marketing_activities", "accepted", 180),
    ]


def test_the_report_says_first_that_nothing_is_published(market_only):
    page = (market_only.home / "report" / "index.html").read_text(encoding="utf-8")
    first_screen = page[: page.index("<nav")]
    assert "No primary effect is published." in first_screen
    assert "Read with care." in first_screen and "not evaluated" in first_screen
    assert "Predictive edges" in page
