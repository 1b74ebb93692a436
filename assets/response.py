"""Group response: the market-level model (carry-over, saturation, contributions, returns) and what follows from it.

As with the HBMMM a fit is a pure function of the rows of the marts, the configuration, the declared graph, the seed
and the code; a finished fit with the same fingerprint is taken up again. It runs on market-only data and on consumers'.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.champions import with_champion_rows
from assets.checks import (
    RESPONSE_CONVERGED,
    RESPONSE_ESTIMATE_CHECKS,
    check_result,
    markdown,
    picture,
)
from assets.market_panel import MARKET_MART_NAMES
from assets.response_fits import (
    ResponseInput,
    ResponseResults,
    register_response,
    response_facts,
    response_input,
    response_results,
)
from assets.status import EVALUATED, Refresh, load_refresh, read_panel_status, write_family
from models.errors import PanelError
from models.outcomes import NOT_EVALUATED

if TYPE_CHECKING:
    from models.checks.base import CheckResult
    from models.response.fit import ResponseFit
    from orchestration.resources.settings import Settings

_COMPLETE = "complete.json"
_EFFECT_COLUMNS = [
    "channel_id",
    "estimand",
    "mean",
    "interval_lower",
    "interval_upper",
    "unit",
    "is_identified",
    "not_identified_reason",
]


class ResponseRunConfig(dg.Config):
    """Launch-time choices; everything else of a fit is in the settings and the declared graph."""

    force_refit: bool = False


@dg.asset(
    key=keys.RESPONSE_POSTERIOR,
    group_name=keys.RESPONSE,
    kinds={"python", "pymc", "mlflow"},
    owners=list(keys.OWNERS),
    deps=[*keys.MARKET_MARTS, keys.CURRENT_REFRESH],
    check_specs=[RESPONSE_CONVERGED],
)
def response_posterior(context: dg.AssetExecutionContext, config: ResponseRunConfig) -> Iterator[Any]:
    """Posterior of the market-level model of all channels, registered in MLflow as challenger."""
    refresh = load_refresh()
    content = refresh.content_hash(MARKET_MART_NAMES)
    data_version = f"{refresh.as_of_date.isoformat()}.{refresh.loads_hash[:8]}.{content}"
    try:
        given = response_input(refresh, content)
    except PanelError as error:
        pointer = {"status": NOT_EVALUATED, "reason": str(error), "data_version": data_version}
        write_response_pointer(refresh, pointer)
        yield dg.MaterializeResult(metadata={"status": NOT_EVALUATED, "reason": str(error)})
        yield check_result(RESPONSE_CONVERGED, NOT_EVALUATED, str(error))
        return
    folder = refresh.artefacts_dir / "fits" / "response" / f"fingerprint={given.fingerprint}"
    force = config.force_refit or refresh.settings.force_refit
    is_reused = (folder / _COMPLETE).exists() and not force
    if is_reused:
        context.log.info(f"the same data, configuration, graph and code: taking up fit {given.fingerprint}")
    else:
        _fit_into(folder, refresh, given)
    complete = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))
    registered = register_response(refresh, given, folder, complete["facts"], data_version, anew=force)
    pointer = {"status": EVALUATED, "folder": folder.name, "data_version": data_version, **registered}
    write_response_pointer(refresh, pointer | {"facts": complete["facts"]})
    verdict = convergence_of(load_response_posterior(folder), refresh.settings)
    yield dg.MaterializeResult(
        metadata={
            **complete["facts"],
            **registered,
            "fingerprint": given.fingerprint,
            "is_reused": is_reused,
            "controls": ", ".join(given.adjustment.controls) or "none",
            "graph": "declared" if given.graph_text else "none declared: no effect is identified",
            "graph_notes": "; ".join(given.adjustment.notes),
            "models_without_driven_channels": "; ".join(
                f"total effect of {', '.join(one.channel_ids)} without {', '.join(one.without)}"
                for one in given.reduced
            ),
            "left_out": markdown(given.left_out),
            "lift_tests": ", ".join(test.lift_test_id for test in given.lift_tests) or "none",
        },
        data_version=dg.DataVersion(given.fingerprint),
    )
    yield check_result(
        RESPONSE_CONVERGED,
        verdict.outcome,
        verdict.text,
        severity=dg.AssetCheckSeverity.ERROR,
        parameters=markdown(verdict.table.sort_values("r_hat", ascending=False)),
    )


def _spec(key: dg.AssetKey, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        description=description,
        group_name=keys.RESPONSE,
        kinds={"python", "parquet"},
        owners=list(keys.OWNERS),
        deps=[keys.RESPONSE_POSTERIOR, keys.CONSUMER_PANEL],
    )


@dg.multi_asset(
    name="response_estimates",
    specs=[
        _spec(keys.RESPONSE_ESTIMATES, "Contribution, roas and marginal_roas by channel and market."),
        _spec(keys.RESPONSE_CURVES, "Contribution at multiples of what was shown and spent."),
        _spec(keys.CHANNEL_CONTRIBUTIONS, "What each channel brought in every period, and the baseline."),
    ],
    check_specs=list(RESPONSE_ESTIMATE_CHECKS),
)
def response_estimates(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """Effects, curves and contributions by period from the posterior draws, with the checks on them."""
    refresh = load_refresh()
    pointer = read_response_pointer(refresh)
    if pointer["status"] != EVALUATED:
        yield from _not_evaluated(refresh, pointer)
        return
    folder = refresh.artefacts_dir / "fits" / "response" / pointer["folder"]
    given = response_input(refresh, refresh.content_hash(MARKET_MART_NAMES))
    results = response_results(folder, refresh, given, is_primary=not read_panel_status(refresh).is_evaluated)
    versions = {
        "model_name": keys.REGISTERED_RESPONSE,
        "model_version": pointer["model_version"],
        "data_version": pointer["data_version"],
    }
    _publish(refresh, results, versions)
    facts = pointer["facts"] | results.facts
    facts |= {name: pointer[name] for name in ("model_version", "run_id", "data_version")}
    write_family(refresh, keys.FAMILY_RESPONSE, EVALUATED, None, results.effects, **facts)
    results.log(refresh, pointer["run_id"])
    effects = results.effects["channel_effects"]
    yield dg.MaterializeResult(
        asset_key=keys.RESPONSE_ESTIMATES,
        metadata={
            **{f"{name}_rows_count": len(table) for name, table in results.effects.items()},
            "channel_effects": markdown(effects[_EFFECT_COLUMNS]),
            **({"lift_tests": markdown(results.lifts)} if len(results.lifts) else {}),
            **{name: picture(png) for name, png in results.figures.items()},
        },
    )
    for key, name in _TABLES:
        yield dg.MaterializeResult(
            asset_key=key, metadata={"dagster/row_count": len(results.artefacts[name])}
        )
    for spec in RESPONSE_ESTIMATE_CHECKS:
        verdict = results.checks[spec.name]
        table = {} if verdict.table.empty else {"table": markdown(verdict.table)}
        yield check_result(spec, verdict.outcome, verdict.text, **table)


_TABLES = (
    (keys.RESPONSE_CURVES, "response_curves"),
    (keys.CHANNEL_CONTRIBUTIONS, "channel_contributions"),
)


def _publish(refresh: Refresh, results: ResponseResults, versions: Mapping[str, str]) -> None:
    """Curves and contributions where dbt reads them, the champion's of this date beside the challenger's."""
    from orchestration.resources.artefacts import write_artefact

    for _, name in _TABLES:
        rows = with_champion_rows(
            results.artefacts[name].assign(**versions), refresh, name, keys.FAMILY_RESPONSE
        )
        write_artefact(refresh.artefacts_dir, name, keys.FAMILY_RESPONSE, refresh.as_of_date, rows)


def _not_evaluated(refresh: Refresh, pointer: Mapping[str, Any]) -> Iterator[Any]:
    from orchestration.resources.artefacts import write_artefact

    reason = str(pointer["reason"])
    write_family(refresh, keys.FAMILY_RESPONSE, NOT_EVALUATED, reason, data_version=pointer["data_version"])
    for _, name in _TABLES:
        write_artefact(refresh.artefacts_dir, name, keys.FAMILY_RESPONSE, refresh.as_of_date, None)
    metadata = {"status": NOT_EVALUATED, "reason": reason}
    for key in (keys.RESPONSE_ESTIMATES, *(key for key, _ in _TABLES)):
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)
    for spec in RESPONSE_ESTIMATE_CHECKS:
        yield check_result(spec, NOT_EVALUATED, reason)


def convergence_of(fit: "ResponseFit", settings: "Settings") -> "CheckResult":
    """Check `converged`, parameter by parameter, with the limits of the gate."""
    from models.checks.convergence import ConvergenceThresholds, check_convergence

    table = fit.diagnostics.table.set_index("parameter")
    limits = ConvergenceThresholds(r_hat=settings.gate_r_hat_most, ess=settings.gate_ess_least)
    size = table[["ess_bulk", "ess_tail"]].min(axis=1, skipna=False)
    found = fit.diagnostics
    return check_convergence(
        table["r_hat"].to_dict(), size.to_dict(), found.divergences_count, found.e_bfmi, limits
    )


def load_response_posterior(folder: Path) -> "ResponseFit":
    """The fit in a folder of fits/response, with its draws."""
    from models.response.storage import load_response_fit

    return load_response_fit(folder / "fit")


def write_response_pointer(refresh: Refresh, content: Mapping[str, Any]) -> Path:
    """Say which response fit belongs to this refresh."""
    from orchestration.resources.artefacts import write_json

    return write_json(refresh.folder("fits/response") / "fit.json", content)


def read_response_pointer(refresh: Refresh) -> dict[str, Any]:
    """Which response fit belongs to this refresh: status, folder (under fits/response), model_version, facts."""
    path = refresh.folder("fits/response") / "fit.json"
    if not path.exists():
        raise dg.Failure(
            f"{path} does not exist: materialise response/response_posterior first.", allow_retries=False
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _fit_into(folder: Path, refresh: Refresh, given: ResponseInput) -> None:
    """Fit and save; ``complete.json`` comes last, so that a killed fit is never taken for a finished one."""
    from models.response.patient_fit import Limits, fit_patiently
    from models.response.storage import config_as_dict, save_response_fit
    from orchestration.resources.artefacts import write_json
    from orchestration.resources.progress import progress_writer

    begun = time.monotonic()
    settings = refresh.settings
    fit, attempts = fit_patiently(
        given.panel,
        replace(given.config, threads=settings.fit_processes_count),
        lift_tests=given.lift_tests,
        scaling=given.scaling,
        progress=progress_writer(settings.home, "response__response_posterior"),
        limits=Limits(settings.gate_r_hat_most, settings.gate_ess_least),
    )
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_response_fit(fit, temporary / "fit")
    for position, model in enumerate(given.reduced):
        tests = [t for t in given.lift_tests if not set(t.channel_ids) & set(model.without)]
        config = replace(model.config(given.config), threads=settings.fit_processes_count)
        less, _ = fit_patiently(model.panel(given.panel), config, lift_tests=tests)
        save_response_fit(less, temporary / "reduced" / str(position))
    if given.graph_text:
        (temporary / "causal_graph.yaml").write_text(given.graph_text, encoding="utf-8")
    seconds = round(time.monotonic() - begun, 1)
    facts = response_facts(fit) | {"fit_seconds": seconds, "attempts_count": attempts}
    content = {
        "fingerprint": given.fingerprint,
        "config": config_as_dict(given.config),
        "facts": facts,
    }
    write_json(temporary / _COMPLETE, content)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)
