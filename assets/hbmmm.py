"""Group hbmmm: the posterior of the consumer-level model, and the effects that follow from it.

A fit is a pure function of the rows of the marts, the configuration, the seed and the code: their hash is its
fingerprint. A finished fit with the same fingerprint is taken up again instead of being repeated, so a second run on
the same data gives identical tables in seconds. ``force_refit`` overrides.
"""

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.checks import CONVERGED, check_result, markdown, picture
from assets.fits import fit_facts, fit_results, log_estimates, register_fit
from assets.status import (
    EVALUATED,
    Refresh,
    load_refresh,
    read_panel_status,
    read_parquet,
    write_family,
)
from models.outcomes import NOT_EVALUATED

if TYPE_CHECKING:
    import pandas as pd

    from models.checks.base import CheckResult
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import HBMMMFit
    from models.hbmmm.two_part import TwoPartFit
    from models.panel import ConsumerPanel
    from orchestration.resources.settings import Settings

_COMPLETE = "complete.json"
PRIOR_PREDICTIVE = "prior_predictive.parquet"
_PRIOR_SEED_STREAM = (
    6  # apart from the streams of fits, placebos and samples, which share the seed of the settings
)


class HBMMMRunConfig(dg.Config):
    """Launch-time choices; everything else of a fit is in the settings."""

    force_refit: bool = False


@dg.asset(
    key=keys.HBMMM_POSTERIOR,
    group_name=keys.HBMMM,
    kinds={"python", "pymc", "mlflow"},
    owners=list(keys.OWNERS),
    deps=[
        keys.CONSUMER_PANEL,
        keys.SUFFICIENT_STATISTICS,
        keys.DESIGN_COLUMNS,
        keys.CONSUMER_CHARACTERISTICS,
    ],
    check_specs=[CONVERGED],
)
def hbmmm_posterior(context: dg.AssetExecutionContext, config: HBMMMRunConfig) -> Iterator[Any]:
    """Posterior of the hierarchical Bayesian model of all consumers, registered in MLflow as challenger."""
    refresh = load_refresh()
    panel_status = read_panel_status(refresh)
    if not panel_status.is_evaluated:
        write_fit_pointer(refresh, {"status": NOT_EVALUATED, "reason": panel_status.reason})
        text = str(panel_status.reason)
        yield dg.MaterializeResult(metadata={"status": NOT_EVALUATED, "reason": panel_status.reason})
        yield check_result(CONVERGED, NOT_EVALUATED, text)
        return
    settings = refresh.settings
    model_config = hbmmm_config(settings)
    fingerprint = fit_fingerprint(panel_status.content_hash, model_config, settings.outcome)
    folder = refresh.artefacts_dir / "fits" / "hbmmm" / f"fingerprint={fingerprint}"
    force = config.force_refit or settings.force_refit
    is_reused = (folder / _COMPLETE).exists() and not force
    if is_reused:
        context.log.info(
            f"the same data, configuration and code were fitted before: taking up fit {fingerprint}"
        )
    else:
        _fit_into(folder, refresh, model_config, fingerprint)
    complete = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))
    registered = register_fit(refresh, panel_status, folder, complete, model_config, anew=force)
    pointer = complete | {"status": EVALUATED, "folder": folder.name, "is_reused": is_reused} | registered
    pointer |= {"outcome": settings.outcome}
    write_fit_pointer(refresh, pointer)
    facts = complete["facts"]
    verdict = convergence_check(folder, settings)
    yield dg.MaterializeResult(
        metadata={
            **facts,
            **registered,
            "fingerprint": fingerprint,
            "is_reused": is_reused,
            **_prior(folder),
        },
        data_version=dg.DataVersion(fingerprint),
    )
    yield check_result(
        CONVERGED,
        verdict.outcome,
        verdict.text,
        severity=dg.AssetCheckSeverity.ERROR,
        parameters=markdown(verdict.table.sort_values(verdict.table.columns[1], ascending=False)),
    )


@dg.asset(
    key=keys.HBMMM_ESTIMATES,
    group_name=keys.HBMMM,
    kinds={"python", "mlflow"},
    owners=list(keys.OWNERS),
    deps=[keys.HBMMM_POSTERIOR, keys.CONSUMER_PANEL],
)
def hbmmm_estimates(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Effects by channel, market, segment and consumer: counterfactual predictions over the panel."""
    refresh = load_refresh()
    pointer = read_fit_pointer(refresh)
    if pointer["status"] != EVALUATED:
        write_family(refresh, keys.FAMILY_HBMMM, pointer["status"], pointer["reason"])
        return dg.MaterializeResult(metadata={"status": pointer["status"], "reason": pointer["reason"]})
    folder = refresh.artefacts_dir / "fits" / "hbmmm" / pointer["folder"]
    fit = _load_fit(folder)
    results = fit_results(folder, fit, refresh)
    tables, figures = results.tables, results.figures
    facts = pointer["facts"] | {name: pointer[name] for name in ("model_version", "run_id")}
    write_family(refresh, keys.FAMILY_HBMMM, EVALUATED, None, tables, **facts)
    log_estimates(refresh, pointer["run_id"], tables, figures)
    shown = [
        "channel_id",
        "estimand",
        "exposure_distribution",
        "mean",
        "interval_lower",
        "interval_upper",
        "unit",
    ]
    return dg.MaterializeResult(
        metadata={
            **{f"{name}_rows_count": len(table) for name, table in tables.items()},
            "channel_effects": markdown(tables["channel_effects"][shown]),
            **{name: picture(png) for name, png in figures.items()},
        }
    )


def hbmmm_config(settings: "Settings") -> "HBMMMConfig":
    """The model's configuration: its own defaults, and what the settings say."""
    from models.hbmmm.config import HBMMMConfig

    chosen = {
        "chains": settings.chains_count,
        "tune": settings.tune_count,
        "draws": settings.draws_count,
        "target_accept": settings.target_accept,
    }
    return HBMMMConfig(
        seed=settings.seed,
        imputations_count=settings.imputations_count,
        interactions=settings.interactions,
        interval_level=settings.interval_level,
        worker_processes=settings.fit_processes_count,
        outcome="log1p" if settings.outcome == "log1p" else "money",
        **{name: value for name, value in chosen.items() if value is not None},
    )


def fit_fingerprint(data_hash: str, config: "HBMMMConfig", outcome: str = "money") -> str:
    """Hash of everything a fit depends on: rows, configuration with seed, outcome model, code, numerical packages.

    How many processes share the work is left out: every completed data set has a seed of its own.
    """
    from orchestration.resources.artefacts import combined_hash
    from orchestration.resources.tracking import package_versions

    return combined_hash(
        {
            "data": data_hash,
            "outcome": outcome,
            "config": {name: value for name, value in config.as_dict().items() if name != "worker_processes"},
            "code": code_hash(),
            "packages": package_versions(("numpy", "scipy", "pymc", "pytensor", "numba", "scikit-learn")),
        }
    )


def code_files() -> list[Path]:
    """The Python files that a fit depends on: the family, and the modules that families share."""
    package = Path(__file__).resolve().parents[1] / "models"
    families = [sorted((package / name).rglob("*.py")) for name in ("hbmmm", "transforms")]
    return [*sorted(package.glob("*.py")), *(path for family in families for path in family)]


def code_hash() -> str:
    """Hash of the names and contents of `code_files`."""
    return hash_of_files(code_files())


def hash_of_files(paths: list[Path]) -> str:
    """Hash of names, from the checkout on, and contents."""
    import hashlib

    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def convergence_check(folder: Path, settings: "Settings") -> "CheckResult":
    """Check `converged` of a saved fit, parameter by parameter, with the limits of the gate.

    Of a two-part fit nothing vouches for the incidence's draws: not evaluated, so that the gate keeps it out.
    """
    import pandas as pd

    from models.checks.convergence import ConvergenceThresholds, check_convergence, check_importance
    from models.hbmmm.two_part import TwoPartFit

    fit = _load_fit(folder)
    if isinstance(fit, TwoPartFit):
        parts = {"incidence": fit.incidence, "amount": fit.amount}
        named = [
            part.diagnostics.assign(parameter=f"{n}: " + part.diagnostics["parameter"])
            for n, part in parts.items()
        ]
        fit, table = fit.amount, pd.concat(named).set_index("parameter")
    else:
        table = fit.diagnostics.set_index("parameter")
    limits = ConvergenceThresholds(r_hat=settings.gate_r_hat_most, ess=settings.gate_ess_least)
    if fit.is_importance_sampled:
        return check_importance(fit.k_hat, float(table["ess_bulk"].min(skipna=False)), limits)
    size = table[["ess_bulk", "ess_tail"]].min(axis=1, skipna=False)
    return check_convergence(
        table["r_hat"].to_dict(), size.to_dict(), fit.divergences_count, fit.e_bfmi, limits
    )


def write_fit_pointer(refresh: Refresh, content: Mapping[str, Any]) -> Path:
    """Say which fit belongs to this refresh."""
    from orchestration.resources.artefacts import write_json

    return write_json(refresh.folder("fits/hbmmm") / "fit.json", content)


def read_fit_pointer(refresh: Refresh) -> dict[str, Any]:
    """Which fit belongs to this refresh."""
    path = refresh.folder("fits/hbmmm") / "fit.json"
    if not path.exists():
        raise dg.Failure(
            f"{path} does not exist: materialise hbmmm/hbmmm_posterior first.", allow_retries=False
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _fit_into(folder: Path, refresh: Refresh, config: "HBMMMConfig", fingerprint: str) -> None:
    """Fit and save; ``complete.json`` comes last, so that a killed fit is never taken for a finished one."""
    from models.hbmmm.fit import fit_hbmmm
    from models.hbmmm.predict import gmv_over_panel
    from models.hbmmm.statistics import SufficientStatistics
    from models.hbmmm.two_part import fit_two_part
    from models.hbmmm.two_part_effects import expected_over_panel
    from orchestration.resources.artefacts import write_frame, write_json
    from orchestration.resources.progress import progress_writer

    begun = time.monotonic()
    panel = refresh.read_panel()
    progress = progress_writer(refresh.settings.home, "hbmmm__hbmmm_posterior")
    prior = None
    if refresh.settings.outcome == "two_part":
        fit = fit_two_part(panel, config, progress=progress)
        expected, observed = expected_over_panel(fit, panel)
    else:
        statistics = SufficientStatistics.from_marts(
            refresh.read_mart("consumer_sufficient_statistics"), refresh.read_mart("design_columns")
        )
        fit = fit_hbmmm(statistics, panel.characteristics, config, progress=progress)
        expected, observed = gmv_over_panel(fit, panel)
        if config.outcome == "money":
            prior = _prior_table(fit, panel, config)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    fit.save(temporary / "fit")
    if prior is not None:
        write_frame(temporary / PRIOR_PREDICTIVE, prior)
    facts = fit_facts(fit) | {
        "expected_gmv": expected,
        "observed_gmv": observed,
        "fit_seconds": round(time.monotonic() - begun, 1),
        **_peak_memory(min(config.worker_processes, len(fit.completed))),
    }
    write_json(
        temporary / _COMPLETE, {"fingerprint": fingerprint, "config": config.as_dict(), "facts": facts}
    )
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)


def _prior(folder: Path) -> dict[str, Any]:
    """Metadata of the prior predictive table; a fit that has none (of another outcome) has no such entry."""
    path = folder / PRIOR_PREDICTIVE
    return {"prior_predictive": markdown(read_parquet(path, "fit again"))} if path.exists() else {}


def _prior_table(fit: "HBMMMFit", panel: "ConsumerPanel", config: "HBMMMConfig") -> "pd.DataFrame":
    """What the priors expect of the outcome beside what it is, by the first completed data set."""
    import numpy as np

    from models.evaluation.prior_predictive import prior_predictive

    rng = np.random.default_rng([config.seed, _PRIOR_SEED_STREAM])
    return prior_predictive(panel, fit.design, fit.completed[0].set_axis(fit.consumer_ids), config, rng)


def _load_fit(folder: Path) -> "HBMMMFit | TwoPartFit":
    from models.hbmmm.fit import HBMMMFit
    from models.hbmmm.two_part import TwoPartFit, is_two_part

    return (TwoPartFit if is_two_part(folder / "fit") else HBMMMFit).load(folder / "fit")


def _peak_memory(workers_count: int) -> dict[str, float]:
    """Peak MiB of this process and of the largest process it started, and what all of them together stay below."""
    unit = 1024**2 if sys.platform == "darwin" else 1024
    own, child = (
        resource.getrusage(who).ru_maxrss / unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {
        "peak_memory_mib": round(own, 1),
        "peak_memory_largest_child_mib": round(child, 1),
        "peak_memory_upper_bound_mib": round(own + workers_count * child, 1),
    }
