"""What a finished HBMMM fit becomes: facts, an MLflow run with a registered model, pictures. No Dagster here."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets import keys
from assets.status import PanelStatus, Refresh
from orchestration.resources.tracking import CHALLENGER, FINGERPRINT_TAG, Tracking, log_figures, log_tables

if TYPE_CHECKING:
    import pandas as pd

    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import HBMMMFit
    from models.panel import ConsumerPanel

SERVING_CODE = Path(__file__).with_name("serving") / "hbmmm_pyfunc.py"
SANITY_ROWS_MOST = 200_000
#: In the order of models.hbmmm.effects.EffectTables.
EFFECT_TABLES = (
    "channel_effects",
    "market_channel_effects",
    "segment_channel_effects",
    "consumer_channel_effects",
)


@dataclass(frozen=True)
class FitResults:
    """Effect tables by artefact name, and PNG pictures by name."""

    tables: "dict[str, pd.DataFrame]"
    figures: dict[str, bytes]


def fit_facts(fit: "HBMMMFit") -> dict[str, Any]:
    """Numbers that the gate, MLflow and Dagster show; None where a parameter has no finite diagnostic."""
    return {
        "r_hat_max": _worst(fit.diagnostics["r_hat"], max),
        "ess_min": _worst(fit.diagnostics["ess_bulk"], min),
        "ess_tail_min": _worst(fit.diagnostics["ess_tail"], min),
        "divergences_count": int(fit.divergences_count),
        "parameters_count": len(fit.diagnostics),
        "consumers_count": len(fit.consumer_ids),
        **{f"{name}_seconds": round(float(value), 1) for name, value in fit.seconds.items()},
    }


def gmv_facts(fit: "HBMMMFit", panel: "ConsumerPanel") -> dict[str, float]:
    """GMV that the fit expects over (an even sample of) the panel's rows, and the GMV observed in them."""
    import numpy as np
    import pandas as pd

    from models.hbmmm.predict import predict_scenario

    step = max(1, -(-panel.rows_count // SANITY_ROWS_MOST))
    chosen = np.arange(0, panel.rows_count, step)
    expected = 0.0
    for rows in np.array_split(chosen, max(1, len(chosen) // 2000)):
        scenario = pd.DataFrame(
            {
                **dict(zip(panel.covariate_names, panel.covariates[rows].T, strict=True)),
                **dict(zip(panel.channel_ids, panel.exposures[rows].T, strict=True)),
                "consumer_id": panel.consumer_ids[panel.consumer_index[rows]],
                "market_id": panel.market_ids[panel.market_index[rows]],
            }
        )
        expected += float(predict_scenario(fit, scenario)["mean"].sum())
    return {"expected_gmv": expected, "observed_gmv": float(panel.gmv[chosen].sum())}


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


def fit_results(folder: Path, fit: "HBMMMFit", refresh: Refresh) -> "FitResults":
    """Effect tables and pictures of a fit over its panel: computed once, then read from the folder of the fit."""
    from assets.status import read_parquet
    from orchestration.resources.artefacts import write_frame

    cached = folder / "effects"
    if not (cached / "complete.json").exists():
        shutil.rmtree(cached, ignore_errors=True)
        tables, figures = _compute(fit, refresh)
        for name, table in tables.items():
            write_frame(cached / f"{name}.parquet", table)
        for name, png in figures.items():
            (cached / f"{name}.png").write_bytes(png)
        (cached / "complete.json").write_text(json.dumps({"figures": sorted(figures)}), encoding="utf-8")
    names = json.loads((cached / "complete.json").read_text(encoding="utf-8"))["figures"]
    return FitResults(
        tables={name: read_parquet(cached / f"{name}.parquet", "run it again") for name in EFFECT_TABLES},
        figures={name: (cached / f"{name}.png").read_bytes() for name in names},
    )


def _compute(fit: "HBMMMFit", refresh: Refresh) -> "tuple[dict[str, pd.DataFrame], dict[str, bytes]]":
    import numpy as np

    from models.figures.effects import effects_forest
    from models.figures.posterior import posterior_densities, rank_plot
    from models.hbmmm.effects import compute_effects

    effects = compute_effects(fit, refresh.read_panel())
    by_level = (effects.channel, effects.market, effects.segment, effects.consumer)
    tables = dict(zip(EFFECT_TABLES, by_level, strict=True))
    shown = effects.channel.reset_index(drop=True).head(len(effects.channel_draws))
    shown = shown[(shown["estimand"] == "slope") & (shown["exposure_distribution"] == "panel_rows")]
    slopes = {}
    for row in shown.itertuples():
        draws = effects.channel_draws[row.Index]
        stretch = max(1.0, row.error_ratio) if np.isfinite(row.error_ratio) else 1.0
        slopes[str(row.channel_id)] = row.mean + (draws - row.mean) * stretch
    worst = fit.diagnostics.sort_values("r_hat", ascending=False).index[:8]
    ranked = {fit.parameter_names[index]: fit.draws[0, :, :, index] for index in worst}
    unit = f"{refresh.currency_code or 'money'} per exposure"
    level = refresh.settings.interval_level
    figures = {
        "slope_densities": posterior_densities(slopes, level, unit, "Slopes by channel"),
        "chain_ranks": rank_plot(
            ranked, "Ranks of the chains' draws, worst R-hat first (flat where they agree)"
        ),
        "slope_forest": effects_forest(shown.assign(is_identified=True), "slope"),
    }
    return tables, figures


def _dataset(mlflow: Any, refresh: Refresh, panel: PanelStatus) -> Any:
    """The panel rows as MLflow's record of what was fitted: schema, size, hash; no data is copied."""
    path = refresh.mart_path("consumer_periods")
    frame = refresh.read_mart("consumer_periods")[["gmv_net_amount", "transactions_count"]].astype("float64")
    return mlflow.data.from_pandas(
        frame, source=str(path), name="consumer_periods", digest=panel.content_hash
    )


def _worst(values: Any, choose: Any) -> float | None:
    """The worst of finite values; None if one of them is not finite, or there is none."""
    import math

    numbers = [float(value) for value in values]
    return choose(numbers) if numbers and all(map(math.isfinite, numbers)) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
