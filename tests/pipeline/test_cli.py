"""The command line: help, settings errors in words, one run per home, closing of killed runs, readable failures."""

import datetime as dt
import fcntl
import io
import os
import time

import dagster as dg
import pandas as pd
import pytest
from rich.console import Console

from models.response.causal_graph import graph_from_yaml
from orchestration import cli
from orchestration.following import CLI_TAG, RunFollower, close_orphans
from orchestration.resources.instance import prepare_instance
from orchestration.resources.progress import progress_writer, read_progress
from orchestration.resources.settings import Settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("DAGSTER_HOME", "MEDIAMIX_HOME", "MEDIAMIX_SOURCE", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("MEDIAMIX_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["ui", "--help"], ["hash", "--help"], ["propose-graph", "--help"]],
)
def test_help_everywhere(arguments, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(arguments)
    assert "usage: mediamix" in capsys.readouterr().out


def test_an_unknown_setting_is_an_error_in_words(home, monkeypatch, capsys):
    monkeypatch.setenv("MEDIAMIX_DRAWZ", "10")
    assert cli.main(["hash"]) == 1
    assert "MEDIAMIX_DRAWZ: no such setting" in capsys.readouterr().err


def test_a_setting_out_of_range_names_the_setting(home, monkeypatch, capsys):
    monkeypatch.setenv("MEDIAMIX_INTERVAL_LEVEL", "95")
    assert cli.main(["hash"]) == 1
    assert "interval_level" in capsys.readouterr().err


def test_no_child_process_sends_telemetry_of_mlflow(home, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    assert cli.main(["hash"]) == 0
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_hash_of_a_fresh_home_is_empty(home, capsys):
    assert cli.main(["hash"]) == 0
    assert capsys.readouterr().out.strip() == "{}"


def test_a_second_run_in_the_same_home_is_refused(home):
    folder = prepare_instance(Settings(home=home))
    with (folder / "run.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with (
            pytest.raises(cli.CommandError, match="Another run works in"),
            cli._home_lock(folder / "run.lock"),
        ):
            pass
    with cli._home_lock(folder / "run.lock"):
        pass


def test_a_killed_run_is_closed_and_its_slot_is_free(home):
    prepare_instance(Settings(home=home))
    with dg.DagsterInstance.get() as instance:

        @dg.job
        def sleeping():
            pass

        mine = instance.create_run_for_job(sleeping, tags={CLI_TAG: "x"}, status=dg.DagsterRunStatus.STARTED)
        other = instance.create_run_for_job(sleeping, status=dg.DagsterRunStatus.STARTED)
        storage = instance.event_log_storage
        storage.initialize_concurrency_limit_to_default("duckdb")
        assert storage.claim_concurrency_slot("duckdb", mine.run_id, "warehouse").is_claimed
        assert close_orphans(instance) == [mine.run_id]
        assert instance.get_run_by_id(mine.run_id).status == dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(other.run_id).status == dg.DagsterRunStatus.STARTED
        assert storage.claim_concurrency_slot("duckdb", other.run_id, "warehouse").is_claimed


def test_a_run_of_a_schedule_or_of_the_ui_keeps_the_command_line_out():
    with dg.DagsterInstance.ephemeral() as instance:

        @dg.job
        def scheduled():
            pass

        instance.create_run_for_job(scheduled, tags={CLI_TAG: "x"}, status=dg.DagsterRunStatus.STARTED)
        instance.create_run_for_job(scheduled, status=dg.DagsterRunStatus.SUCCESS)
        cli._refuse_runs_of_others(instance)
        run = instance.create_run_for_job(scheduled, status=dg.DagsterRunStatus.STARTED)
        with pytest.raises(cli.CommandError, match=rf"{run.run_id} \(job scheduled, started\).*terminate it"):
            cli._refuse_runs_of_others(instance)


def follow(instance, home, result):
    lines = []
    follower = RunFollower(instance, home, lines.append)
    follower.run_id = result.run_id
    follower.poll()
    return follower, lines


def test_following_tells_steps_failures_and_checks(home):
    prepare_instance(Settings(home=home))
    check = dg.AssetCheckSpec("is_good", asset="good")

    @dg.asset(check_specs=[check])
    def good():
        yield dg.MaterializeResult()
        yield dg.AssetCheckResult(passed=False, metadata={"outcome": "not_evaluated"}, description="no data")

    @dg.asset(deps=[good])
    def bad():
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("found 3 gaps; fill them") from error

    @dg.asset(deps=[good])
    def explained():
        raise dg.Failure("column market_id is missing; add it", allow_retries=False)

    with dg.DagsterInstance.get() as instance:
        result = dg.materialize([good, bad, explained], instance=instance, raise_on_error=False)
        follower, lines = follow(instance, home, result)
    assert {failure.step: failure.message for failure in follower.failures} == {
        "bad": "ValueError: found 3 gaps; fill them",
        "explained": "column market_id is missing; add it",
    }
    assert follower.checks_not_passed == ["good is_good: not evaluated: no data"]
    text = "\n".join(lines)
    assert "good done in" in text
    assert "bad FAILED" in text
    assert "100 %" in lines[-1]


def test_failures_are_explained_with_the_log(home, tmp_path):
    from orchestration.following import StepFailure

    out = io.StringIO()
    console = Console(file=out, width=100)
    cli._explain(console, [StepFailure("warehouse", "found [x] why next")], tmp_path / "run.log", 1)
    assert "Step warehouse failed." in out.getvalue()
    assert "found [x] why next" in out.getvalue()
    assert "run.log" in out.getvalue()


def test_progress_is_read_back_and_estimates_the_time_left(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    write = progress_writer(tmp_path, "hbmmm__hbmmm_posterior")
    write("draws", 0.0)
    clock[0] += 10
    write("draws", 0.25)
    (record,) = read_progress(tmp_path, since=1001)
    assert record.describe() == "25 %, about 30 s left: draws"
    assert read_progress(tmp_path, since=2000) == []
    (tmp_path / "dagster" / "progress" / "torn.json").write_text("{")
    assert len(read_progress(tmp_path, since=0)) == 1


DECLARED = "outcome: gmv\nchannels: [tv, search]\nedges: [tv -> gmv, search -> gmv]\n"


def publish_edges(home):
    rows = [
        {"as_of_date": dt.date(2024, 1, day), "market_id": "a", "source_id": "tv", "target_id": "search", "lag": 1.0,
         "sign": 1.0, "edge_probability": p, "selection_frequency": 0.9, "structure": 1}
        for day, p in ((1, 0.95), (8, 0.8))
    ]  # fmt: skip
    folder = home / "artefacts" / "reporting"
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / "causal_graph_edges.parquet")


def test_the_newest_graph_is_proposed_and_a_file_with_decisions_is_kept(home, tmp_path, capsys):
    declared, output = tmp_path / "declared.yaml", tmp_path / "graph.yaml"
    declared.write_text(DECLARED)
    command = ["propose-graph", "--graph", str(declared), "--output", str(output)]
    assert cli.main(command) == 1
    assert "nothing was published in this home yet" in capsys.readouterr().err
    publish_edges(home)
    assert cli.main(command) == 0
    (waiting,) = graph_from_yaml(output.read_text()).waiting
    assert str(waiting) == "tv -> search" and waiting.probability == 0.8
    assert cli.main(command) == 1
    assert "may hold decisions" in capsys.readouterr().err
    assert cli.main([*command[:3], "--structure", "4"]) == 1
    assert "no structure 4; the newest graph has [1]" in capsys.readouterr().err
    assert cli.main(["propose-graph"]) == 1
    assert "Which series are channels is unknown" in capsys.readouterr().err
    marts = home / "marts"
    marts.mkdir()
    refresh = {"as_of_date": dt.date(2024, 1, 8), "period": "week", "currency_code": "USD", "loads_hash": "h",
               "source_name": "canonical", "pre_period_end_date": None}  # fmt: skip
    pd.DataFrame([refresh]).to_parquet(marts / "current_refresh.parquet")
    folder = marts / "market_channel_periods" / "as_of_date=2024-01-08"
    folder.mkdir(parents=True)
    pd.DataFrame({"channel_id": ["tv"]}).to_parquet(folder / "market_channel_periods.parquet")
    assert cli.main(["propose-graph"]) == 0
    graph = graph_from_yaml(capsys.readouterr().out)
    assert {str(e) for e in graph.edges} == {
        "tv -> search",
        "search -> gmv",
        "tv -> gmv",
    }  # search mediates here
