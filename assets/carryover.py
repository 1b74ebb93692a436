"""Group robustness: effects where exposure carries over, immediate and long-run, mixed over what the data allow."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.checks import markdown
from assets.fits import SENSITIVITY
from assets.hbmmm import convergence_check
from assets.robustness import RobustnessRunConfig, reason_without_fit, robustness_input
from assets.robustness_fits import HOW_TO_RUN, RobustnessInput, log_robustness
from assets.status import EVALUATED, load_refresh, read_parquet, write_family
from models.errors import ConvergenceError, PanelError
from models.outcomes import NOT_EVALUATED
from orchestration.resources.artefacts import write_frame
from orchestration.resources.progress import progress_writer

if TYPE_CHECKING:
    import pandas as pd

METHOD = "hbmmm_carryover"
_TABLES = ("channel_effects", "market_channel_effects", "segment_channel_effects")
_CANDIDATES, _DECAYS, _BENDS = "carryover_candidates", "carryover_decays", "carryover_bends"
_SHOWN = ["channel_id", "estimand", "horizon", "mean", "interval_lower", "interval_upper", "unit"]


@dg.asset(
    key=keys.CARRYOVER_ESTIMATES,
    group_name=keys.ROBUSTNESS,
    kinds={"python", "mlflow"},
    owners=list(keys.OWNERS),
    deps=[keys.HBMMM_POSTERIOR, keys.CONSUMER_PANEL],
)
def carryover_estimates(
    context: dg.AssetExecutionContext, config: RobustnessRunConfig
) -> dg.MaterializeResult:
    """Decays and bends weighted by marginal likelihood, and the effects they give: in the period, and in all later."""
    refresh = load_refresh()
    given = robustness_input(refresh, config)
    if given is None:
        reason = reason_without_fit(refresh)
        write_family(refresh, keys.FAMILY_CARRYOVER, NOT_EVALUATED, reason)
        return dg.MaterializeResult(metadata={"status": NOT_EVALUATED, "reason": reason})
    import numpy as np

    verdict = convergence_check(given.fit_folder, refresh.settings)
    if verdict.passed is not True:
        reason = f"nothing vouches for the fit that candidates start from: {verdict.text}"
        write_family(refresh, keys.FAMILY_CARRYOVER, NOT_EVALUATED, reason)
        return dg.MaterializeResult(metadata={"status": NOT_EVALUATED, "reason": reason})
    try:
        tables = carryover_tables(given)
    except (PanelError, ConvergenceError, np.linalg.LinAlgError) as error:
        tables, reason = None, f"{type(error).__name__}: {error}"
    else:
        reason = HOW_TO_RUN
    if tables is None:
        write_family(refresh, keys.FAMILY_CARRYOVER, NOT_EVALUATED, reason)
        return dg.MaterializeResult(metadata={"status": NOT_EVALUATED, "reason": reason})
    write_family(
        refresh,
        keys.FAMILY_CARRYOVER,
        EVALUATED,
        None,
        tables,
        base_model_version=given.pointer["model_version"],
    )
    log_robustness(given, tables, {})
    metadata: dict[str, Any] = {
        "dagster/row_count": len(tables["channel_effects"]),
        **given.sizes,
        "channel_effects": markdown(tables["channel_effects"][_SHOWN], most_rows=100),
    }
    metadata |= {name: markdown(tables[name], most_rows=60) for name in (_DECAYS, _BENDS, _CANDIDATES)}
    return dg.MaterializeResult(metadata=metadata)


def carryover_tables(given: RobustnessInput) -> "dict[str, pd.DataFrame] | None":
    """Tables kept of this fit, or computed now; None where nobody ran them and this run may not."""
    names = (*_TABLES, _DECAYS, _BENDS, _CANDIDATES, SENSITIVITY)
    paths = {name: given.folder / METHOD / f"{name}.parquet" for name in names}
    if all(path.exists() for path in paths.values()):
        return {name: read_parquet(path, "run it again") for name, path in paths.items()}
    if not given.refits:
        return None
    tables = _computed(given)
    for name, table in tables.items():
        write_frame(paths[name], table)
    return tables


def _computed(given: RobustnessInput) -> "dict[str, pd.DataFrame]":
    from dataclasses import replace

    from models.effects.sensitivity import sensitivity_table, within_degrees
    from models.hbmmm.carryover import CarryoverConfig, choose_carryover, fit_carryover
    from models.hbmmm.carryover_effects import carryover_effects

    settings = given.refresh.settings
    tell = progress_writer(settings.home, "robustness__carryover_estimates")
    fit, panel = given.fit_and_panel()
    choice = choose_carryover(
        panel, fit, CarryoverConfig(seed=settings.seed), lambda text, share: tell(text, 0.6 * share)
    )
    fitted = fit_carryover(
        panel,
        fit,
        choice,
        replace(fit.config, inference="laplace"),
        lambda text, share: tell(text, 0.6 + 0.3 * share),
    )
    effects = carryover_effects(fitted, panel)
    sensitivity = sensitivity_table(effects.channel.assign(method=METHOD), within_degrees(panel))
    tell("effects at both horizons", 1.0)
    tables = dict(zip(_TABLES, (effects.channel, effects.market, effects.segment), strict=True))
    named = {"method": METHOD, "model_name": METHOD, "is_primary": False}
    tables = {name: table.assign(**named) for name, table in tables.items()}
    return tables | {
        _DECAYS: choice.decay_probabilities,
        _BENDS: choice.bend_probabilities,
        _CANDIDATES: choice.candidates,
        SENSITIVITY: sensitivity,
    }
