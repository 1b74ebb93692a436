"""What a finished HBMMM fit becomes: facts, an MLflow run with a registered model, pictures. No Dagster here."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets import keys
from assets.status import PanelStatus, Refresh, read_columns, read_parquet
from orchestration.resources.artefacts import EFFECT_TABLES, write_frame, write_json
from orchestration.resources.tracking import (
    AS_OF_DATE_TAG,
    CHALLENGER,
    FINGERPRINT_TAG,
    Tracking,
    log_figures,
    log_tables,
)

if TYPE_CHECKING:
    import pandas as pd

    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import HBMMMFit
    from models.hbmmm.two_part import TwoPartFit

SENSITIVITY = "sensitivity"  # working table of a family: how strong a confounder would have to be
SERVING_CODE = Path(__file__).with_name("serving") / "hbmmm_pyfunc.py"


@dataclass(frozen=True)
class FitResults:
    """Effect tables by artefact name, and PNG pictures by name."""

    tables: "dict[str, pd.DataFrame]"
    figures: dict[str, bytes]


def fit_facts(fit: "HBMMMFit | TwoPartFit") -> dict[str, Any]:
    """Numbers that the gate, MLflow and Dagster show; None where a parameter has no finite diagnostic.

    Of a two-part fit those of the amount, without R-hat and sample sizes: nothing vouches for the incidence's draws.
    """
    from models.hbmmm.two_part import TwoPartFit

    if isinstance(fit, TwoPartFit):
        unknown = dict.fromkeys(("r_hat_max", "ess_min", "ess_bulk_min", "ess_tail_min"))
        return fit_facts(fit.amount) | unknown
    return {
        "r_hat_max": worst_of(fit.diagnostics["r_hat"], max),
        "ess_min": worst_of(fit.diagnostics[["ess_bulk", "ess_tail"]].min(axis=1, skipna=False), min),
        "ess_bulk_min": worst_of(fit.diagnostics["ess_bulk"], min),
        "ess_tail_min": worst_of(fit.diagnostics["ess_tail"], min),
        "divergences_count": int(fit.divergences_count),
        **({} if fit.is_importance_sampled else {"e_bfmi_min": worst_of(fit.sampler["e_bfmi"], min)}),
        **({"k_hat_max": fit.k_hat} if fit.is_importance_sampled else {}),
        "parameters_count": len(fit.diagnostics),
        "consumers_count": len(fit.consumer_ids),
        **{f"{name}_seconds": round(float(value), 1) for name, value in fit.seconds.items()},
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
            AS_OF_DATE_TAG: refresh.as_of_date.isoformat(),
            "mediamix.data_version": panel.data_version,
            "mediamix.source": refresh.source_name,
            "mediamix.seed": str(config.seed),
        }
        name = f"hbmmm {refresh.as_of_date.isoformat()}"
        with tracking.run(keys.FAMILY_HBMMM, name, tags) as mlflow:
            mlflow.log_params(config.as_dict())
            mlflow.log_params(
                {
                    "data_hash": panel.content_hash,
                    "period": refresh.period,
                    "outcome_model": refresh.settings.outcome,
                }
            )
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
    """Add pictures and, last, effect tables to the run of the fit, unless it has them already."""
    tracking = Tracking.from_settings(refresh.settings)
    if tracking.has_artefacts(run_id, "effects"):
        return
    with tracking.run(keys.FAMILY_HBMMM, "estimates", run_id=run_id) as mlflow:
        log_figures(mlflow, figures)
        log_tables(mlflow, tables, "effects")


def log_forest(refresh: Refresh, run_id: str | None, forest: bytes) -> None:
    """Put the picture of slopes, marked identified or not, beside the other figures of the fit's run, if it has one."""
    if run_id is not None:
        with Tracking.from_settings(refresh.settings).run(
            keys.FAMILY_HBMMM, "forest", run_id=run_id
        ) as mlflow:
            log_figures(mlflow, {"slope_forest": forest})


def fit_results(folder: Path, fit: "HBMMMFit | TwoPartFit", refresh: Refresh) -> "FitResults":
    """Effect tables and pictures of a fit over its panel: computed once, then read from the folder of the fit."""
    cached = folder / "effects"
    if not (cached / "complete.json").exists():
        shutil.rmtree(cached, ignore_errors=True)
        tables, figures = _compute(fit, refresh)
        for name, table in tables.items():
            write_frame(cached / f"{name}.parquet", table)
        for name, png in figures.items():
            (cached / f"{name}.png").write_bytes(png)
        write_json(cached / "complete.json", {"figures": sorted(figures)})
    names = json.loads((cached / "complete.json").read_text(encoding="utf-8"))["figures"]
    return FitResults(
        tables={
            name: read_parquet(cached / f"{name}.parquet", "run it again")
            for name in (*EFFECT_TABLES, SENSITIVITY)
        },
        figures={name: (cached / f"{name}.png").read_bytes() for name in names},
    )


def _compute(
    fit: "HBMMMFit | TwoPartFit", refresh: Refresh
) -> "tuple[dict[str, pd.DataFrame], dict[str, bytes]]":
    import numpy as np

    from models.effects.sensitivity import sensitivity_table, within_degrees
    from models.figures.posterior import posterior_densities, rank_plot
    from models.hbmmm.effects import compute_effects
    from models.hbmmm.outcome import LOG_UNIT
    from models.hbmmm.two_part import TwoPartFit
    from models.hbmmm.two_part_effects import compute_two_part_effects

    panel = refresh.read_panel()
    if isinstance(fit, TwoPartFit):
        effects, fit = compute_two_part_effects(fit, panel), fit.amount
    else:
        effects = compute_effects(fit, panel)
    by_level = (effects.channel, effects.market, effects.segment, effects.consumer)
    tables = dict(zip(EFFECT_TABLES, by_level, strict=True))
    tables[SENSITIVITY] = sensitivity_table(effects.channel, within_degrees(panel))
    shown = effects.channel.reset_index(drop=True).head(len(effects.channel_draws))
    shown = shown[(shown["estimand"] == "slope") & (shown["exposure_distribution"] == "panel_rows")]
    slopes = {}
    for row in shown.itertuples():
        draws = effects.channel_draws[row.Index]
        stretch = max(1.0, row.error_ratio) if np.isfinite(row.error_ratio) else 1.0
        slopes[str(row.channel_id)] = row.mean + (draws - row.mean) * stretch
    worst = fit.diagnostics.sort_values("r_hat", ascending=False).index[:8]
    ranked = {fit.parameter_names[index]: fit.draws[0, :, :, index] for index in worst}
    is_log = fit.config.outcome == "log1p"
    unit = f"{LOG_UNIT if is_log else refresh.currency_code or 'money'} per exposure"
    level = refresh.settings.interval_level
    figures = {
        "slope_densities": posterior_densities(slopes, level, unit, "Slopes by channel"),
        "chain_ranks": rank_plot(
            ranked, "Ranks of the chains' draws, worst R-hat first (flat where they agree)"
        ),
    }
    return tables, figures


def _dataset(mlflow: Any, refresh: Refresh, panel: PanelStatus) -> Any:
    """The panel rows as MLflow's record of what was fitted: schema, size, hash; no data is copied."""
    path = refresh.mart_path("consumer_periods")
    frame = read_columns(path, ["gmv_net_amount", "transactions_count"]).astype("float64")
    return mlflow.data.from_pandas(
        frame, source=str(path), name="consumer_periods", digest=panel.content_hash
    )


def worst_of(values: Any, choose: Any) -> float | None:
    """The worst of finite values; None if one of them is not finite, or there is none."""
    import math

    numbers = [float(value) for value in values]
    return choose(numbers) if numbers and all(map(math.isfinite, numbers)) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
