"""What a response fit is given and what becomes of it: input, facts, MLflow run and model, tables. No Dagster here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets import keys
from assets.market_panel import read_declared_graph, read_lift_tests, read_market_panel
from assets.status import Refresh
from orchestration.resources.artefacts import combined_hash
from orchestration.resources.tracking import (
    AS_OF_DATE_TAG,
    CHALLENGER,
    CHAMPION,
    FINGERPRINT_TAG,
    Tracking,
    log_figures,
    log_tables,
    package_versions,
)

if TYPE_CHECKING:
    import pandas as pd

    from models.checks.base import CheckResult
    from models.response.adjustment import Adjustment
    from models.response.config import ResponseConfig
    from models.response.fit import ResponseFit
    from models.response.lift_tests import LiftTest
    from models.response.market_panel import MarketPanel
    from models.response.reduced_models import ReducedModel
    from models.response.scaling import Scaling
    from orchestration.resources.settings import Settings

SERVING_CODE = Path(__file__).with_name("serving") / "response_pyfunc.py"


@dataclass(frozen=True)
class ResponseInput:
    """Everything that decides a fit. left_out: kind, name, reason of what had to stay outside."""

    panel: "MarketPanel"
    config: "ResponseConfig"
    scaling: "Scaling"
    adjustment: "Adjustment"
    lift_tests: "tuple[LiftTest, ...]"
    reduced: "tuple[ReducedModel, ...]"
    graph_text: str
    left_out: "pd.DataFrame"
    content: str
    fingerprint: str


@dataclass(frozen=True)
class ResponseResults:
    """effects: effect tables by name; artefacts: curves and contributions; lifts: predicted beside measured."""

    effects: "dict[str, pd.DataFrame]"
    artefacts: "dict[str, pd.DataFrame]"
    checks: "dict[str, CheckResult]"
    lifts: "pd.DataFrame"
    figures: dict[str, bytes]
    facts: dict[str, Any]

    def log(self, refresh: Refresh, run_id: str) -> None:
        """Add pictures and tables to the run of the fit, unless it has them already."""
        tracking = Tracking.from_settings(refresh.settings)
        if tracking.has_artefacts(run_id, "effects"):
            return
        with tracking.run(keys.FAMILY_RESPONSE, "estimates", run_id=run_id) as mlflow:
            log_figures(mlflow, self.figures)
            curves = self.artefacts["response_curves"]
            tables = self.effects | {"response_curves": curves[curves["market_id"].isna()]}
            log_tables(mlflow, tables | ({"lift_tests": self.lifts} if len(self.lifts) else {}), "effects")


def response_input(refresh: Refresh, content: str) -> ResponseInput:
    """What the fit of this refresh is given; content: hash of the market marts.

    Raises PanelError where the marts hold nothing to fit, GraphError for a declared graph that is none.
    """
    import pandas as pd

    from models.response.adjustment import choose_adjustment
    from models.response.reduced_models import reduced_models
    from models.response.scaling import Scaling
    from models.response.storage import config_as_dict

    prepared = read_market_panel(refresh)
    panel = prepared.panel
    graph, text = read_declared_graph(refresh)
    adjustment = choose_adjustment(graph, panel, has_period_effects=not panel.is_national)
    config = response_config(panel, adjustment.controls, refresh.settings)
    tests, unused = read_lift_tests(refresh, panel)
    scaling = champion_scaling(refresh, panel, adjustment.controls) or Scaling.of_panel(
        panel, adjustment.controls
    )
    fingerprint = combined_hash(
        {
            "data": content,
            "markets_most": refresh.settings.response_markets_most,
            "config": config_as_dict(config),
            "graph": text,
            "scaling": scaling.as_dict(),
            "code": response_code_hash(),
            "packages": package_versions(("numpy", "scipy", "pymc", "networkx")),
        }
    )
    left_out = pd.concat([prepared.left_out, unused], ignore_index=True)
    reduced = reduced_models(graph, panel, has_period_effects=not panel.is_national)
    return ResponseInput(
        panel, config, scaling, adjustment, tests, reduced, text, left_out, content, fingerprint
    )


def response_config(
    panel: "MarketPanel", controls: tuple[str, ...], settings: "Settings"
) -> "ResponseConfig":
    """The panel's defaults, and what the settings say of seed, interval and sampler."""
    from models.response.panel_defaults import config_for_panel

    chosen = {
        "chains": settings.chains_count,
        "tune": settings.tune_count,
        "draws": settings.draws_count,
        "target_accept": settings.target_accept,
    }
    return config_for_panel(
        panel,
        controls,
        seed=settings.seed,
        interval_level=settings.interval_level,
        **{name: value for name, value in chosen.items() if value is not None},
    )


def champion_scaling(refresh: Refresh, panel: "MarketPanel", controls: tuple[str, ...]) -> "Scaling | None":
    """The champion's scaling, so that a refresh does not move priors; None where there is none that suits the panel."""
    from models.errors import NotFittedError, PanelError
    from models.response.scaling import Scaling
    from models.response.storage import read_fit_text

    tracking = Tracking.from_settings(refresh.settings)
    version = tracking.alias_version(keys.REGISTERED_RESPONSE, CHAMPION)
    if version is None:
        return None
    fingerprint = tracking.version_tag(keys.REGISTERED_RESPONSE, version, FINGERPRINT_TAG)
    folder = refresh.artefacts_dir / "fits" / "response" / f"fingerprint={fingerprint}" / "fit"
    if not (folder / "fit.json").exists():
        return None
    try:
        scaling = Scaling.from_dict(read_fit_text(folder)["scaling"])
        scaling.require_panel(panel)
    except (NotFittedError, PanelError, ValueError):
        return None
    return scaling if scaling.control_names == controls else None


def response_code_hash() -> str:
    """Hash of the family's files and of those that it shares with others."""
    from assets.hbmmm import hash_of_files

    package = Path(__file__).resolve().parents[1] / "models"
    families = [sorted((package / name).rglob("*.py")) for name in ("response", "transforms")]
    shared = [package / "hbmmm" / name for name in ("backend.py", "diagnostics.py")]
    return hash_of_files(
        [*sorted(package.glob("*.py")), *(path for family in families for path in family), *shared]
    )


def response_facts(fit: "ResponseFit") -> dict[str, Any]:
    """Numbers that the gate, MLflow and Dagster show; None where a parameter has no finite diagnostic."""
    import numpy as np

    from assets.fits import worst_of
    from models.response.fit_checks import expected_totals

    found = fit.diagnostics
    expected, base = expected_totals(fit)
    return {
        "r_hat_max": worst_of(found.table["r_hat"], max),
        "ess_min": worst_of(found.table[["ess_bulk", "ess_tail"]].min(axis=1, skipna=False), min),
        "divergences_count": int(found.divergences_count),
        "e_bfmi_min": worst_of([found.e_bfmi], min),
        "gradients_count": int(found.evaluations_count),
        "parameters_count": len(found.table),
        "markets_count": len(fit.scaling.market_ids),
        "periods_count": len(fit.panel.period_starts),
        "channels_count": len(fit.scaling.channel_ids),
        "channels_with_spend_count": int(fit.panel.has_spend.sum()),
        "lift_tests_count": len(fit.lift_tests),
        "expected_gmv": float(expected.mean()),
        "observed_gmv": float(np.nansum(fit.panel.kpi)),
        "baseline_share": float(base.mean() / expected.mean()),
        "baseline_negative_probability": float((base < 0).mean()),
        **{f"{name}_seconds": round(float(value), 1) for name, value in found.seconds.items()},
    }


def response_results(
    folder: Path, refresh: Refresh, given: ResponseInput, *, is_primary: bool
) -> ResponseResults:
    """Tables, checks and pictures of the fit in `folder`; is_primary: no consumer-level model speaks of these data."""
    import pandas as pd

    from models.figures.effects import effects_forest
    from models.figures.response_curves import response_curves_figure
    from models.response.calibration import predicted_lifts
    from models.response.effect_tables import effect_tables, silent_channel_rows
    from models.response.fit_checks import (
        check_baseline,
        check_contributions,
        check_prior_shift,
        check_returns,
    )
    from models.response.period_tables import contribution_periods, response_curves
    from models.response.storage import load_response_fit

    fit = load_response_fit(folder / "fit")
    channel, market = effect_tables(
        fit,
        given.adjustment,
        model_name=keys.REGISTERED_RESPONSE,
        is_primary=is_primary,
        reduced=_reduced_fits(folder, given, refresh.settings),
    )
    periods, curves = contribution_periods(fit), response_curves(fit)
    checks = (
        check_contributions(fit, periods, channel),
        check_baseline(fit, refresh.settings.gate_baseline_deviation_most),
        check_prior_shift(fit),
        check_returns(fit),
    )
    silent = given.left_out[given.left_out["kind"].eq("channel")]
    without = silent_channel_rows(
        dict(zip(silent["name"], silent["reason"], strict=True)),
        model_name=keys.REGISTERED_RESPONSE,
        interval_level=fit.config.interval_level,
        currency_code=fit.panel.currency_code,
        is_primary=is_primary,
    )
    channel = pd.concat([channel, without], ignore_index=True) if len(without) else channel
    return ResponseResults(
        effects={"channel_effects": channel, "market_channel_effects": market},
        artefacts={
            "response_curves": _judged(curves, given.adjustment),
            "channel_contributions": _judged(periods, given.adjustment).assign(
                period_start_date=periods["period_start_date"].dt.date
            ),
        },
        checks={one.name: one for one in checks},
        lifts=predicted_lifts(fit, fit.lift_tests) if fit.lift_tests else pd.DataFrame(),
        figures={
            "contributions": effects_forest(channel, "contribution"),
            "response_curves": response_curves_figure(curves),
        },
        facts={
            "contributions_add_up": checks[0].passed,
            "identity_deviation": checks[0].value,
        },
    )


def _reduced_fits(folder: Path, given: ResponseInput, settings: "Settings") -> "dict[str, ResponseFit]":
    """channel -> the fit that gives its total effect; those that have not converged give none."""
    from models.response.patient_fit import Limits
    from models.response.storage import load_response_fit

    limits, found = Limits(settings.gate_r_hat_most, settings.gate_ess_least), {}
    for position, model in enumerate(given.reduced):
        fit = load_response_fit(folder / "reduced" / str(position))
        if limits.hold(fit.diagnostics):
            found |= dict.fromkeys(model.channel_ids, fit)
    return found


def register_response(
    refresh: Refresh,
    given: ResponseInput,
    folder: Path,
    facts: Mapping[str, Any],
    data_version: str,
    *,
    anew: bool,
) -> dict[str, str]:
    """MLflow run and model version of a fit: the ones of its fingerprint, or new ones. Sets alias challenger."""
    from models.response.storage import config_as_dict

    tracking = Tracking.from_settings(refresh.settings)
    known = None if anew else tracking.find_version(keys.REGISTERED_RESPONSE, given.fingerprint)
    if known is None:
        tags = {
            FINGERPRINT_TAG: given.fingerprint,
            AS_OF_DATE_TAG: refresh.as_of_date.isoformat(),
            "mediamix.data_version": data_version,
            "mediamix.source": refresh.source_name,
            "mediamix.seed": str(given.config.seed),
        }
        name = f"response {refresh.as_of_date.isoformat()}"
        with tracking.run(keys.FAMILY_RESPONSE, name, tags) as mlflow:
            params = {key: str(value)[:5000] for key, value in config_as_dict(given.config).items()}
            mlflow.log_params(params | {"data_hash": given.content, "period": given.panel.period})
            numbers = {key: value for key, value in facts.items() if isinstance(value, int | float)}
            mlflow.log_metrics(numbers)
            mlflow.log_input(_dataset(mlflow, refresh, given), context="training")
            if given.graph_text:
                mlflow.log_text(given.graph_text, "causal_graph.yaml")
            log_tables(mlflow, {"left_out": given.left_out}, "input")
            known = tracking.register_code_model(
                keys.REGISTERED_RESPONSE, SERVING_CODE, {"fit": folder / "fit"}, given.fingerprint
            )
    tracking.set_alias(keys.REGISTERED_RESPONSE, CHALLENGER, known.version)
    return {"model_version": known.version, "run_id": known.run_id}


def _judged(rows: "pd.DataFrame", adjustment: "Adjustment") -> "pd.DataFrame":
    """is_identified and its reason, by channel; the baseline is what channels leave, so it takes all their reasons."""
    reasons = {name: one.reason for name, one in adjustment.channels.items()}
    open_ones = sorted({reason for reason in reasons.values() if reason})
    baseline = "; ".join(open_ones) or None
    found = [baseline if channel is None else reasons[channel] for channel in rows["channel_id"]]
    return rows.assign(is_identified=[reason is None for reason in found], not_identified_reason=found)


def _dataset(mlflow: Any, refresh: Refresh, given: ResponseInput) -> Any:
    """The market-periods as MLflow's record of what was fitted: schema, size, hash; no data is copied."""
    path = refresh.mart_path("market_periods")
    frame = refresh.read_mart("market_periods")[["gmv_net_amount"]].astype("float64")
    return mlflow.data.from_pandas(frame, source=str(path), name="market_periods", digest=given.content)
