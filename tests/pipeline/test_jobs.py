"""Jobs, schedules, the executor and the instance: bounded in time, one writer of the DuckDB file."""

import dagster as dg
import pytest
import yaml

from assets import keys
from orchestration.resources.instance import MAX_RUNTIME_SECONDS, dagster_yaml, prepare_instance
from orchestration.resources.settings import Settings


@pytest.fixture(scope="module")
def definitions(manifest):
    from orchestration.definitions import defs

    return defs


def selected(definitions, job):
    return definitions.resolve_job_def(job).asset_layer.executable_asset_keys


def test_full_refresh_is_everything(definitions):
    everything = definitions.resolve_asset_graph().executable_asset_keys
    assert set(selected(definitions, "full_refresh")) == set(everything)


def test_the_other_jobs_cover_the_graph_without_overlap(definitions):
    parts = ["refresh_warehouse", "fit_models", "run_robustness", "publish_effects"]
    chosen = [key for job in parts for key in selected(definitions, job)]
    assert set(chosen) == set(selected(definitions, "full_refresh"))
    twice = {key.to_user_string() for key in chosen if chosen.count(key) > 1}
    assert twice <= {keys.DATA_QUALITY.to_user_string()}


def test_every_job_is_bounded_in_time(definitions):
    for job in ("full_refresh", "refresh_warehouse", "fit_models", "run_robustness", "publish_effects"):
        assert definitions.resolve_job_def(job).tags["dagster/max_runtime"] == str(MAX_RUNTIME_SECONDS)


def test_only_the_monthly_job_runs_refits(definitions):
    assert definitions.resolve_job_def("run_robustness").run_config["ops"] == {
        "robustness__robustness_checks": {"config": {"refits": True}},
        "robustness__placebo_refits": {"config": {"refits": True}},
        "robustness__carryover_estimates": {"config": {"refits": True}},
        "evaluation__model_comparison": {"config": {"refits": True}},
    }
    assert not definitions.resolve_job_def("full_refresh").run_config


def test_both_dbt_steps_wait_in_the_pool_and_nothing_else_does(definitions):
    pools = {}
    for node in definitions.resolve_job_def("full_refresh").nodes:
        if node.definition.pool:
            pools[node.name] = node.definition.pool
    assert pools == {"warehouse": keys.DUCKDB_POOL, "reporting": keys.DUCKDB_POOL}


def test_schedules(definitions):
    found = {item.name: (item.job_name, item.cron_schedule) for item in definitions.schedules}
    assert found == {
        "full_refresh_weekly": ("full_refresh", "0 4 * * 1"),
        "run_robustness_monthly": ("run_robustness", "0 6 2 * *"),
    }


def test_dagster_yaml_survives_crashes(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("MEDIAMIX_HOME", "")
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "")
    settings = Settings(home=tmp_path / "home")
    folder = prepare_instance(settings)
    written = yaml.safe_load((folder / "dagster.yaml").read_text())
    assert written == yaml.safe_load(dagster_yaml(settings))
    assert written["telemetry"] == {"enabled": False}
    assert written["run_monitoring"]["enabled"] is True
    assert written["run_monitoring"]["max_runtime_seconds"] == MAX_RUNTIME_SECONDS
    assert written["concurrency"]["pools"] == {"default_limit": 1, "granularity": "op"}
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.telemetry_enabled is False
        limits = instance.get_concurrency_config().pool_config
        assert limits.default_pool_limit == 1
        assert limits.pool_granularity.value == "op"
