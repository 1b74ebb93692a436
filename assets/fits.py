"""What a finished HBMMM fit becomes: facts, an MLflow run with a registered model, pictures. No Dagster here."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets import keys
from assets.status import PanelStatus, Refresh
from orchestration.resources.tracking import CHALLENGER, FINGERPRINT_TAG, Tracking, log_figures, log_tables

if TYPE_CHECKING:
    import pandas as pd

    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import HBMMMFit

SERVING_CODE = Path(__file__).with_name("serving") / "hbmmm_pyfunc.py"
EFFECT_TABLES = (
    "channel_effects",
    "market_channel_effects",
    "segment_channel_effects",
    "consumer_channel_effects",
)


def fit_facts(fit: "HBMMMFit") -> dict[str, Any]:
    """Numbers that the gate, MLflow and Dagster show."""
    r_hat, ess = _finite(fit.diagnostics["r_hat"]), _finite(fit.diagnostics["ess_bulk"])
    return {
        "r_hat_max": max(r_hat, default=None),
        "ess_min": min(ess, default=None),
        "divergences_count": int(fit.divergences_count),
        "parameters_count": len(fit.diagnostics),
        "consumers_count": len(fit.consumer_ids),
    }


def register_fit(
    refresh: Refresh,
    panel: PanelStatus,
    folder: Path,
    complete: Mapping[str, Any],
    config: "HBMMMConfig",
    *,
    anew: bool,
) -> dict[str, str]:
    """MLflow run and model version of a fit: the ones of its fingerprint, or new ones. Sets alias challenger."""
    tracking = Tracking.from_settings(refresh.settings)
    fingerprint = complete["fingerprint"]
    known = None if anew else tracking.find_version(keys.REGISTERED_HBMMM, fingerprint)
    if known is None:
        tags = {
            FINGERPRINT_TAG: fingerprint,
            "mediamix.as_of_date": refresh.as_of_date.isoformat(),
            "mediamix.data_version": panel.data_version,
            "mediamix.source": refresh.source_name,
            "mediamix.seed": str(config.seed),
        }
        name = f"hbmmm {refresh.as_of_date.isoformat()}"
        with tracking.run(keys.FAMILY_HBMMM, name, tags) as mlflow:
            mlflow.log_params(config.as_dict())
            mlflow.log_params({"data_hash": panel.content_hash, "period": refresh.period})
            mlflow.log_metrics({key: value for key, value in complete["facts"].items() if _is_number(value)})
            mlflow.log_input(_dataset(mlflow, refresh, panel), context="training")
            known = tracking.register_code_model(
                keys.REGISTERED_HBMMM, SERVING_CODE, {"fit": folder / "fit"}, fingerprint
            )
    tracking.set_alias(keys.REGISTERED_HBMMM, CHALLENGER, known.version)
    return {"model_version": known.version, "run_id": known.run_id}


def log_estimates(
    refresh: Refresh, run_id: str, tables: "Mapping[str, pd.DataFrame]", figures: Mapping[str, bytes]
) -> None:
    """Add effect tables and pictures to the run of the fit."""
    tracking = Tracking.from_settings(refresh.settings)
    with tracking.run(keys.FAMILY_HBMMM, "estimates", run_id=run_id) as mlflow:
        log_tables(mlflow, tables, "effects")
        log_figures(mlflow, figures)


def effect_tables(folder: Path, fit: "HBMMMFit", refresh: Refresh) -> "dict[str, pd.DataFrame]":
    """Effects of a fit over the panel, computed once and kept with the fit."""
    from assets.status import read_parquet
    from models.hbmmm.effects import compute_effects
    from orchestration.resources.artefacts import write_frame

    cached = folder / "effects"
    if not (cached / "complete.json").exists():
        shutil.rmtree(cached, ignore_errors=True)
        computed = compute_effects(fit, refresh.read_panel())
        tables = {
            name: getattr(computed, name.removesuffix("_channel_effects").removesuffix("_effects"))
            for name in EFFECT_TABLES
        }
        for name, table in tables.items():
            write_frame(cached / f"{name}.parquet", table)
        (cached / "complete.json").write_text(json.dumps({"tables": sorted(tables)}), encoding="utf-8")
    return {
        name: read_parquet(cached / f"{name}.parquet", "run hbmmm_estimates again") for name in EFFECT_TABLES
    }


def fit_figures(fit: "HBMMMFit", effects: "pd.DataFrame", refresh: Refresh) -> dict[str, bytes]:
    """PNG pictures: posterior densities of the channel slopes, ranks of the chains, forest of the effects."""
    from models.figures.effects import effects_forest
    from models.figures.posterior import posterior_densities, rank_plot

    unit = f"{refresh.currency_code or 'money'} per exposure"
    shown = effects[effects["exposure_distribution"] == "panel_rows"].assign(is_identified=True)
    return {
        "slope_densities": posterior_densities(
            slopes, refresh.settings.interval_level, unit, "Channel slopes"
        ),
        "chain_ranks": rank_plot(slopes, "Ranks of the chains' draws (flat where they agree)"),
        "slope_forest": effects_forest(shown, "slope"),
    }


def _dataset(mlflow: Any, refresh: Refresh, panel: PanelStatus) -> Any:
    """The panel rows as MLflow's record of what was fitted: schema, size, hash; no data is copied."""
    path = refresh.mart_path("consumer_periods")
    frame = refresh.read_mart("consumer_periods")[["gmv_net_amount", "transactions_count"]].astype("float64")
    return mlflow.data.from_pandas(
        frame, source=str(path), name="consumer_periods", digest=panel.content_hash
    )


def _finite(values: Any) -> list[float]:
    import numpy as np

    array = np.asarray(values, dtype=float)
    return [float(value) for value in array[np.isfinite(array)]]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
