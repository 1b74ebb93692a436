"""A method that fails in a world loses that world; the others keep theirs, and everybody is told."""

import pytest

from benchmarks.judged import judge, judge_worlds, lost_text
from models.errors import ConvergenceError, PanelError
from models.evaluation.estimators import ESTIMATORS
from models.evaluation.recovery import score_levels
from models.simulate.study_worlds import WORLD_KINDS

KIND = "null_channel"
METHODS = {"pooled_ols": {}, "fragile": {}}


@pytest.fixture
def fragile(monkeypatch):
    """A method that fails in the first world it sees."""
    seen = []

    def fails_first(panel, options):
        seen.append(1)
        if len(seen) == 1:
            raise ConvergenceError("no mode")
        return ESTIMATORS["pooled_ols"](panel, options)

    monkeypatch.setitem(ESTIMATORS, "fragile", fails_first)


def test_the_other_methods_keep_their_rows_and_the_loss_is_counted(fragile, monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.judged.FOLDER", tmp_path)
    seeds = WORLD_KINDS[KIND].seeds(2)
    tables, runs = judge_worlds("test", {KIND: seeds}, {KIND: METHODS}, 1)
    worlds = tables["channel"].groupby("method")["seed"].unique().map(list).to_dict()
    assert worlds == {"pooled_ols": list(seeds), "fragile": [seeds[1]]}
    run = runs[KIND]
    assert (run["worlds"], run["finished"], run["lost"]) == (2, 1, {"fragile": 1})
    assert run["errors"] == {f"{KIND} {seeds[0]}": {"fragile": "ConvergenceError: no mode"}}
    first = f"first: {KIND} {seeds[0]}: ConvergenceError: no mode"
    assert lost_text(run) == f"fragile lost 1 of 2 worlds ({first})"
    assert lost_text({"worlds": 2, "lost": {}, "errors": {}}) == ""


def test_a_world_that_cannot_be_drawn_is_lost_to_every_method(monkeypatch):
    def refuse(config, rng):
        raise PanelError("nobody bought")

    monkeypatch.setattr("models.evaluation.recovery.simulate_consumers", refuse)
    found = judge(KIND, 1, METHODS)
    assert found["levels"] == {} and found["errors"] == dict.fromkeys(METHODS, "PanelError: nobody bought")


def test_without_a_place_for_failures_they_are_raised(fragile):
    config = WORLD_KINDS[KIND].config
    with pytest.raises(ConvergenceError, match="no mode"):
        score_levels(config, 1, {"fragile": {}})


def test_a_world_in_which_everybody_fails_has_no_tables(fragile):
    failures = {}
    assert score_levels(WORLD_KINDS[KIND].config, 1, {"fragile": {}}, failures) == {}
    assert failures == {"fragile": "ConvergenceError: no mode"}


def test_every_verdict_says_how_many_worlds_were_lost(monkeypatch):
    import pandas as pd

    import models.evaluation.acceptance as acceptance
    from benchmarks.study_worlds import _verdict_lines, verdicts

    monkeypatch.setattr(
        acceptance, "channel_verdicts", lambda table, **which: []
    )  # needs tables of all channels

    orders = pd.DataFrame([("confounded_large", "hbmmm", "tv", 3, 2, 2, 0, 4.0)], columns=[
        "world", "method", "channel_id", "pairs", "decidable", "right", "wrong", "largest_gap",
    ])  # fmt: skip
    markets = pd.DataFrame({
        "world": "confounded_large", "method": "hbmmm", "channel_id": "tv",
        "seed": range(40), "mean": 1.0, "truth": 1.0,
    })  # fmt: skip
    found = verdicts("confounded_large", pd.DataFrame(), markets, orders, 3)
    assert [v.worlds_lost for v in found] == [3, 3]
    assert all("| 3 |" in line for line in _verdict_lines([v.as_dict() for v in found])[2:4])


def test_the_placebo_is_laid_beside_the_slope_of_the_worlds_it_lets_through():
    import pandas as pd

    from benchmarks.world_placebos import identification_lines, identification_table

    placebos = pd.DataFrame({
        "world": "w", "seed": range(4), "channel_id": "tv", "passed": [True, True, False, None], "p_value": 0.5,
    })  # fmt: skip
    scores = pd.DataFrame({
        "world": "w", "seed": range(4), "channel_id": "tv", "method": "m", "estimand": "slope",
        "exposure_distribution": "panel_rows", "truth": 1.0, "mean": [1.5, 2.5, 9.0, 9.0],
        "interval_lower": [0.5, 2.0, 8.0, 8.0], "interval_upper": [2.5, 3.0, 10.0, 10.0],
    })  # fmt: skip
    table = identification_table(placebos, scores, "m")
    (row,) = table.to_dict("records")
    assert (row["failed"], row["not_evaluated"], row["passed"]) == (1, 1, 2)
    assert (row["error"], row["coverage"]) == (1.0, 0.5)
    assert "| tv | 1 of 4 | 1 | 2 | +1 (1) | 0.50 |" in identification_lines(table)
