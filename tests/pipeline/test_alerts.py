"""Alerts, the inbox sensor, freshness: what the daemon does between schedules."""

import http.server
import json
import logging
import os
import threading
import time
from types import SimpleNamespace

import dagster as dg
import pandas as pd
import pytest

from assets import keys
from models.outcomes import FAILED, NOT_EVALUATED, PASSED
from orchestration.resources.alerts import send_alert
from orchestration.resources.settings import Settings


@pytest.fixture
def webhook():
    """(address, received bodies) of a server on loopback."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook?token=hush", received
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_alert_reaches_the_webhook_and_the_log(webhook, tmp_path, caplog):
    address, received = webhook
    settings = Settings(home=tmp_path, alert_webhook_url=address)
    assert send_alert(settings, "it broke", kind="test", count=3) == PASSED
    assert received == [{"text": "it broke", "source": "mediamix", "kind": "test", "count": 3}]
    assert "it broke" in caplog.text
    assert "hush" not in caplog.text + repr(settings) + "\n".join(settings.describe())


def test_a_webhook_that_is_down_fails_nothing_and_keeps_its_token(tmp_path, caplog):
    settings = Settings(home=tmp_path, alert_webhook_url="http://127.0.0.1:1/hook?token=hush")
    assert send_alert(settings, "it broke") == FAILED
    assert "could not be sent" in caplog.text
    assert "hush" not in caplog.text


def test_without_a_webhook_the_log_has_it(tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        assert send_alert(Settings(home=tmp_path), "it broke") == NOT_EVALUATED
    assert "it broke" in caplog.text


def test_a_failed_run_raises_an_alert(webhook, tmp_path, monkeypatch, manifest):
    from orchestration.sensors import alert_on_run_failure

    address, received = webhook
    monkeypatch.setenv("MEDIAMIX_HOME", str(tmp_path))
    monkeypatch.setenv("MEDIAMIX_ALERT_WEBHOOK_URL", address)

    @dg.op
    def breaks():
        raise ValueError("on purpose")

    @dg.job
    def nightly():
        breaks()

    with dg.DagsterInstance.ephemeral() as instance:
        result = nightly.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="alert_on_run_failure",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
        ).for_run_failure()
        alert_on_run_failure(context)
    (body,) = received
    assert (body["job"], body["kind"], body["run_id"]) == ("nightly", "run_failed", result.run_id)
    assert "nightly failed" in body["text"]


@pytest.mark.parametrize(
    ("champion", "words"), [("6", "version 6 is still served"), (None, "no version is served")]
)
def test_a_challenger_that_fails_the_gate_raises_an_alert(champion, words, webhook, tmp_path, monkeypatch):
    from assets import registry

    address, received = webhook
    refresh = SimpleNamespace(
        settings=Settings(home=tmp_path, alert_webhook_url=address),
        artefacts_dir=tmp_path,
        as_of_date=pd.Timestamp("2024-01-31").date(),
    )
    replaced = {
        "load_refresh": lambda: refresh,
        "read_family": lambda *_: ({"status": "evaluated", "facts": {"model_version": "7"}}, {}),
        "find_champion": lambda *_: registry.Champion(champion),
        "_share": lambda _: 0.5,
        "_comparisons": lambda *_: [],
    }
    for name, value in replaced.items():
        monkeypatch.setattr(registry, name, value)
    list(
        registry.promotion_gate.op.compute_fn.decorated_fn(dg.build_asset_context(), registry.GateRunConfig())
    )
    for body, model in zip(received, ("mediamix-hbmmm", "mediamix-response"), strict=True):
        assert f"{model} version 7 did not pass the gate" in body["text"]
        assert "data_quality_quarantined_share failed" in body["text"]
        assert words in body["text"]
        assert (body["kind"], body["as_of_date"]) == ("gate_not_passed", "2024-01-31")


@pytest.fixture
def inbox(canonical_folder, tmp_path, monkeypatch, manifest):
    """The settings of a home whose inbox holds one file that has stood still for an hour."""
    settings = Settings(home=tmp_path / "home", source=str(canonical_folder))
    monkeypatch.setenv("MEDIAMIX_HOME", str(settings.home))
    monkeypatch.setenv("MEDIAMIX_SOURCE", settings.source)
    settings.inbox_dir.mkdir(parents=True)
    write(settings, "transactions__a.csv", 3600)
    return settings


def write(settings, name, age_seconds):
    path = settings.inbox_dir / name
    source = pd.read_csv(f"{settings.source}/transactions.csv").head(1)
    source.assign(transaction_id=name).to_csv(path, index=False)
    os.utime(path, times=(time.time() - age_seconds,) * 2)


def tick(cursor=None):
    from orchestration.sensors import full_refresh_on_inbox

    result = full_refresh_on_inbox(dg.build_sensor_context(cursor=cursor))
    return (result.run_requests or [], result.cursor) if isinstance(result, dg.SensorResult) else ([], cursor)


def test_new_files_of_the_inbox_ask_for_one_run(inbox):
    requests, cursor = tick()
    assert [request.run_key for request in requests] == [f"inbox-{cursor}"]
    assert tick(cursor) == ([], cursor)
    write(inbox, "transactions__b.csv", 0)
    assert tick(cursor) == ([], cursor)  # it may still be on its way
    write(inbox, "transactions__b.csv", 60)
    requests, later = tick(cursor)
    assert len(requests) == 1
    assert later != cursor


def test_an_inbox_that_was_landed_before_the_daemon_started_asks_for_nothing(inbox):
    from assets.landing.land import land

    land(inbox)
    requests, cursor = tick()
    assert requests == []
    assert cursor is not None


def test_sources_without_an_inbox_and_empty_inboxes_ask_for_nothing(inbox, monkeypatch):
    next(inbox.inbox_dir.iterdir()).unlink()
    assert tick() == ([], None)
    monkeypatch.setenv("MEDIAMIX_SOURCE", "simulated")
    assert tick() == ([], None)


def test_the_daemon_watches_with_these_sensors_and_freshness(manifest):
    from orchestration.definitions import defs
    from orchestration.schedules import FRESHNESS

    assert {sensor.name for sensor in defs.sensors} == {
        "orphan_reaper",
        "alert_on_run_failure",
        "full_refresh_on_inbox",
    }
    policies = {spec.key: spec.freshness_policy for spec in defs.resolve_all_asset_specs()}
    assert policies[keys.CONSUMER_PERIODS] == policies[keys.CHANNEL_EFFECTS] == FRESHNESS
    assert policies[dg.AssetKey(["reporting", "channel_effects"])] == FRESHNESS
    assert policies[keys.LANDING_MANIFEST] is None
