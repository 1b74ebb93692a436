"""What exists: the one ``dg.Definitions``. No network, no data; the only file read is the dbt manifest."""

import dagster as dg

from assets.carryover import carryover_estimates
from assets.causal import causal_estimates
from assets.causal_graph import causal_graph_edges
from assets.comparison import model_comparison
from assets.effects import (
    consumer_effects_published,
    exposure_overlap,
    within_consumer_estimates,
)
from assets.hbmmm import hbmmm_estimates, hbmmm_posterior
from assets.held_out import held_out_accuracy
from assets.panels import consumer_panel
from assets.raw import landed_files
from assets.registry import promotion_gate
from assets.report import report
from assets.response import response_estimates, response_posterior
from assets.robustness import placebo_refits, placebo_results, robustness_checks
from assets.stability import refresh_stability
from assets.warehouse import warehouse_assets
from orchestration.jobs import ALL_JOBS, EXECUTOR
from orchestration.resources.dbt import dbt_resource
from orchestration.schedules import ALL_SCHEDULES, with_freshness
from orchestration.sensors import ALL_SENSORS

PYTHON_ASSETS = [
    landed_files,
    consumer_panel,
    hbmmm_posterior,
    hbmmm_estimates,
    placebo_results,
    placebo_refits,
    robustness_checks,
    carryover_estimates,
    refresh_stability,
    held_out_accuracy,
    model_comparison,
    within_consumer_estimates,
    causal_estimates,
    causal_graph_edges,
    response_posterior,
    response_estimates,
    exposure_overlap,
    consumer_effects_published,
    promotion_gate,
    report,
]

defs = dg.Definitions(
    assets=dg.map_asset_specs(with_freshness, [*PYTHON_ASSETS, *warehouse_assets()]),
    jobs=ALL_JOBS,
    schedules=ALL_SCHEDULES,
    sensors=ALL_SENSORS,
    resources={"dbt": dbt_resource()},
    executor=EXECUTOR,
)


def full_refresh_job() -> dg.JobDefinition:
    """The job of ``make run``, by a function that another process can call to rebuild it."""
    return defs.resolve_job_def("full_refresh")


def override_gate_job() -> dg.JobDefinition:
    """The job of ``mediamix promote``."""
    return defs.resolve_job_def("override_gate")
