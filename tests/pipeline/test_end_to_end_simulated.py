"""`make run SOURCE=simulated`, small: months, one market, a known truth; landed to published by the same command."""

import re

import duckdb
import pytest

CHANNELS = ("digital", "email", "retargeting", "social", "tv")


@pytest.fixture(scope="module")
def simulated(run_product, tmp_path_factory):
    return run_product(
        tmp_path_factory.mktemp("simulated") / "home",
        "simulated",
        simulated_consumers_count=60,
        simulated_markets_count=1,
        simulated_periods_count=10,
    )


def test_every_channel_has_an_effect_by_both_methods(simulated):
    found = simulated.table(
        "channel_effects",
        "model_name, channel_id, isfinite(mean)",
        "where estimand = 'slope' and exposure_distribution = 'panel_rows' "
        "and model_name <> 'dose_weighted' order by all",
    )
    assert found == [
        (model, channel, True) for model in ("mediamix-hbmmm", "within_consumer") for channel in CHANNELS
    ]


def test_one_market_is_enough_and_every_row_was_accepted(simulated):
    (market,) = simulated.table("market_channel_effects", "distinct market_id")
    periods = duckdb.sql(
        f"select distinct market_id from '{simulated.home}/marts/market_periods/*/*.parquet'"
    ).fetchall()
    assert periods == [market]
    assert simulated.table("data_quality", "distinct reason_code") == [("accepted",)]


def test_every_family_ran_on_months_and_the_fit_is_champion(simulated):
    statuses = simulated.rows(
        "select distinct status, family in ('carryover', 'response') from "
        "read_parquet('{artefacts}/family_status/**/part.parquet', hive_partitioning = false) order by all"
    )
    # carry-over is for the monthly job, and 7 months are too few for the response model
    assert statuses == [("evaluated", False), ("not_evaluated", True)]
    refresh = duckdb.sql(
        f"select period, source_name from '{simulated.home}/marts/current_refresh.parquet'"
    ).fetchall()
    assert refresh == [("month", "simulated")]
    decisions = simulated.rows(
        "select decision from read_parquet('{artefacts}/champions/**/part.parquet', hive_partitioning = false) "
        "order by model_name"
    )
    assert decisions == [("promoted",), ("no_champion",)]


def test_the_truth_lies_beside_the_estimates(simulated):
    files = sorted((simulated.home / "artefacts" / "simulated_truth").glob("*.parquet"))
    assert files
    assert all(duckdb.sql(f"select count(*) from '{path}'").fetchall()[0][0] > 0 for path in files)


def test_every_query_of_the_documentation_answers(simulated, fences):
    queries = fences("sql")
    assert {page for page, _ in queries} >= {"docs/tutorial.md", "docs/how_to/read_a_failed_gate.md"}
    for page, query in queries:
        result = duckdb.sql(
            re.sub(r"'(?:\.mediamix(?:-simulated)?|path/to/home)/", f"'{simulated.home}/", query)
        )
        is_empty_here = (
            "reason_code <> 'accepted'" in query or "refresh_stability" in query
        )  # clean data, one refresh
        assert result.fetchall() or is_empty_here, f"{page}: no rows from\n{query}"


def test_the_truth_is_compared_with_every_estimate(simulated, fences):
    """The tutorial's query joins truth and estimates: as many rows as there are slopes over panel rows."""
    (query,) = [text for _, text in fences("sql") if "simulated_truth" in text]
    rows = duckdb.sql(query.replace(".mediamix-simulated/", f"{simulated.home}/")).fetchall()
    slopes = simulated.table(
        "channel_effects", "count(*)", "where estimand = 'slope' and exposure_distribution = 'panel_rows'"
    )
    assert slopes == [(len(rows),)]


def test_the_first_python_of_the_tutorial_runs(simulated, fences, capsys):
    first = next(text for page, text in fences("python") if page == "docs/tutorial.md")
    exec(first.replace(".mediamix/", f"{simulated.home}/"), {})
    shown = capsys.readouterr().out
    assert all(channel in shown for channel in CHANNELS)
