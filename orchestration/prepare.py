"""What has to be there before a webserver, a daemon and a code server start side by side: ``mediamix instance``."""

import sys
from pathlib import Path

import dagster as dg

from orchestration.reaper import reap
from orchestration.resources.instance import claim_own_store, prepare_instance
from orchestration.resources.settings import Settings
from orchestration.resources.tracking import Tracking


def prepare_deployment(settings: Settings) -> Path:
    """Write dagster.yaml, make the tables of both stores, close runs whose process is gone; returns DAGSTER_HOME."""
    folder = prepare_instance(settings)
    claim_own_store(settings)
    Tracking.from_settings(settings).connect()
    with dg.DagsterInstance.get() as instance:
        for run_id in reap(instance, settings.home):
            print(f"closed run {run_id}, whose process is gone", file=sys.stderr)
    return folder
