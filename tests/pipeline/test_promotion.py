"""Two refreshes of one home: what moved and why, what the gate compares, and a challenger that a person promotes."""

import pytest

#: Nobody's model is a thousand times better than last year's purchases: the second refresh is kept back.
STRICT = {"gate_naive_ratio_most": 0.001}
WORLD = {"simulated_consumers_count": 60, "simulated_markets_count": 2, "simulated_periods_count": 14}


@pytest.fixture(scope="module")
def first(run_product, tmp_path_factory):
    home = tmp_path_factory.mktemp("promotion") / "home"
    return run_product(home, "simulated", as_of_date="2022-01-31", **WORLD)


@pytest.fixture(scope="module")
def second(first, run_product):
    return run_product(first.home, "simulated", **WORLD, **STRICT)


@pytest.fixture(scope="module")
def promoted(second, run_product):
    reason = "the new store opened, and the channel's effect is real"
    return run_product(second.home, "simulated", command=("promote", "--reason", reason), **WORLD, **STRICT)


def checks(run):
    rows = run.rows(
        "select as_of_date::varchar, check_name, outcome, text from "
        "read_parquet('{artefacts}/gate_checks/family=hbmmm/**/part.parquet', hive_partitioning = false) order by all"
    )
    days = sorted({day for day, *_ in rows})
    return [{name: (outcome, text) for day, name, outcome, text in rows if day == one} for one in days]


def decisions(run):
    return run.rows(
        "select decision, model_version, decided_reason from "
        "read_parquet('{artefacts}/champions/family=hbmmm/**/part.parquet', hive_partitioning = false) "
        "order by as_of_date"
    )


def test_the_first_refresh_has_nothing_to_compare_with(first):
    (found,) = checks(first)
    assert found["refresh_stability"] == ("not_applicable", "there is no champion to compare with")
    assert found["held_out_against_champion"][0] == "not_applicable"
    assert found["held_out_against_seasonal_naive"][0] in ("passed", "failed")
    assert first.table("refresh_stability", "count(*)") == [(0,)]


def test_every_effect_of_the_second_has_an_overlap_and_parts_that_add_up(second):
    rows = second.table(
        "refresh_stability",
        "channel_id, previous_as_of_date::varchar, overlap, change_total - change_new_data - change_revised_data "
        "- change_model - change_monte_carlo, reason",
        "where estimand = 'slope'",
    )
    assert {row[0] for row in rows} == {"digital", "email", "retargeting", "social", "tv"}
    assert {row[1] for row in rows} == {"2022-01-31"}
    split = [row for row in rows if row[4] is None]
    assert split
    assert all(0.0 <= row[2] <= 1.0 and abs(row[3]) < 1e-6 for row in split)


def test_the_second_is_kept_back_and_says_why(second):
    assert checks(second)[1]["held_out_against_seasonal_naive"][0] == "failed"
    assert checks(second)[1]["refresh_stability"][0] in ("passed", "failed")
    decision, version, reason = decisions(second)[1]
    assert (decision, version) == ("kept", "1")
    assert "as a multiple of seasonal naive's" in reason


def test_a_person_promotes_it_with_a_reason_that_stays(promoted):
    decision, version, reason = decisions(promoted)[1]
    assert (decision, version) == ("overridden", "2")
    assert (
        reason.startswith("by hand: the new store opened")
        and "held_out_against_seasonal_naive failed" in reason
    )
    published = promoted.table(
        "channel_effects", "distinct model_version", "where as_of_date > date '2022-01-31'"
    )
    assert ("2",) in published
    assert "promoted by hand" in promoted.text or "overridden" in promoted.text


def test_an_empty_reason_is_refused(run_python):
    done = run_python("-m", "orchestration.cli", "promote", "--reason", "  ")
    assert done.returncode == 1 and "say why" in done.stderr
