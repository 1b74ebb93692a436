"""Jobs: verbs over groups of the graph. ``full_refresh`` is what ``make run`` executes."""

import dagster as dg

from assets import keys
from orchestration.resources.instance import MAX_RUNTIME_SECONDS

_RAW = dg.AssetSelection.groups(keys.RAW)
_WAREHOUSE = dg.AssetSelection.groups(keys.STAGING, keys.INTERMEDIATE, keys.MARTS) | dg.AssetSelection.assets(
    keys.DATA_QUALITY
)
_FITS = dg.AssetSelection.groups(keys.PANELS, keys.HBMMM, keys.CAUSAL_GRAPH, keys.RESPONSE)
_ROBUSTNESS = dg.AssetSelection.groups(keys.ROBUSTNESS, keys.EVALUATION)
_PUBLICATION = dg.AssetSelection.groups(keys.EFFECTS, keys.REGISTRY, keys.REPORTING)

# Steps are forked from a process that has the definitions loaded: a step starts in 0.1 s instead of 4 s.
# Two at once, since the machine of the first size has two cores.
EXECUTOR = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 2,
        "start_method": {"forkserver": {"preload_modules": ["orchestration.definitions"]}},
    }
)
# Without this bound a crashed host holds its pool slot for ever (conventions T1).
_TAGS = {"dagster/max_runtime": str(MAX_RUNTIME_SECONDS)}


# What a plain run leaves out because it takes minutes: see assets/robustness.py.
_WITH_REFITS = {
    "ops": {
        key.to_python_identifier(): {"config": {"refits": True}}
        for key in (
            keys.ROBUSTNESS_CHECKS,
            keys.PLACEBO_REFITS,
            keys.CARRYOVER_ESTIMATES,
            keys.MODEL_COMPARISON,
        )
    }
}


def _job(
    name: str, selection: dg.AssetSelection, description: str, config: dict[str, object] | None = None
) -> object:
    return dg.define_asset_job(name, selection=selection, description=description, tags=_TAGS, config=config)


full_refresh = _job(
    "full_refresh", dg.AssetSelection.all(), "Land, build the warehouse, fit, judge, publish."
)
refresh_warehouse = _job("refresh_warehouse", _RAW | _WAREHOUSE, "Land new files and rebuild the marts.")
fit_models = _job("fit_models", _FITS, "Fit the models on the marts of the current refresh.")
run_robustness = _job(
    "run_robustness",
    _ROBUSTNESS,
    "Placebos, the fit of the current refresh under other specifications, and rival models on held-out data.",
    _WITH_REFITS,
)
publish_effects = _job(
    "publish_effects", _PUBLICATION, "Combine, pass the gate, rebuild the reporting tables."
)

override_gate = _job(
    "override_gate",
    dg.AssetSelection.groups(keys.REGISTRY, keys.REPORTING),
    "Judge the challengers again, taking one that a person promotes with a reason, and publish.",
)

ALL_JOBS = [full_refresh, refresh_warehouse, fit_models, run_robustness, publish_effects, override_gate]
