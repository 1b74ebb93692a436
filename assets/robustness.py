"""Group robustness: placebos, whose true effect is zero by construction, and the effects under other specifications."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.checks import LEAD_PLACEBO_IS_NULL, check_result, markdown, picture
from assets.hbmmm import read_fit_pointer
from assets.identification import LEAD_PLACEBO
from assets.robustness_fits import RobustnessInput, checks_table, log_robustness, placebo_table
from assets.status import EVALUATED, Refresh, load_refresh, read_panel_status, write_family
from models.outcomes import NOT_EVALUATED, outcome_of

if TYPE_CHECKING:
    import pandas as pd

#: Separates the random numbers of the placebos from those of the fits, which share the seed of the settings.
_SEED_STREAM = 1


@dg.asset(
    key=keys.PLACEBO_RESULTS,
    group_name=keys.ROBUSTNESS,
    kinds={"python"},
    owners=list(keys.OWNERS),
    deps=[keys.CONSUMER_PANEL],
    check_specs=[LEAD_PLACEBO_IS_NULL],
)
def placebo_results(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """Lead placebo (future exposure) and swapped histories of look-alikes, per channel, with a verdict each."""
    from orchestration.resources.artefacts import write_artefact

    refresh = load_refresh()
    status = read_panel_status(refresh)
    if not status.is_evaluated:
        write_family(refresh, keys.FAMILY_PLACEBO, status.status, status.reason)
        write_artefact(
            refresh.artefacts_dir, "placebo_results", keys.FAMILY_PLACEBO, refresh.as_of_date, None
        )
        yield dg.MaterializeResult(metadata={"status": status.status, "reason": status.reason})
        yield check_result(LEAD_PLACEBO_IS_NULL, NOT_EVALUATED, str(status.reason))
        return

    import numpy as np
    import pandas as pd

    from models.checks.base import combined
    from models.checks.placebo import history_swap_placebo, lead_placebo

    panel = refresh.read_panel()
    leads = lead_placebo(panel, refresh.lead_periods_count)
    sample, sizes = refresh.panel_sample(panel)
    swaps = history_swap_placebo(sample, np.random.default_rng([refresh.settings.seed, _SEED_STREAM]))
    swaps = swaps.rename(columns={"share_significant": "false_positive_rate"})
    results = pd.concat([leads, swaps], ignore_index=True)
    results["data_version"] = status.data_version
    write_artefact(refresh.artefacts_dir, "placebo_results", keys.FAMILY_PLACEBO, refresh.as_of_date, results)
    write_family(
        refresh,
        keys.FAMILY_PLACEBO,
        EVALUATED,
        None,
        {"placebo_results": results.astype({"passed": "boolean"})},
    )
    passed = combined(list(leads["passed"]))
    failed = [
        channel for channel, value in zip(leads["channel_id"], leads["passed"], strict=True) if value is False
    ]
    text = f"lead placebo failed for {', '.join(failed)}" if failed else f"lead placebo {outcome_of(passed)}"
    yield dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(results),
            "lead_periods_count": refresh.lead_periods_count,
            "results": markdown(results.drop(columns="data_version")),
            **{f"history_swap_{name}": size for name, size in sizes.items()},
        }
    )
    yield check_result(
        LEAD_PLACEBO_IS_NULL,
        outcome_of(passed),
        text,
        channels_failed=failed,
        placebos_of_kind=LEAD_PLACEBO,
    )


class RobustnessRunConfig(dg.Config):
    """Launch-time choice: refits take minutes, so a plain run shows what an earlier run of the same fit left."""

    refits: bool = False


@dg.asset(
    key=keys.ROBUSTNESS_CHECKS,
    group_name=keys.ROBUSTNESS,
    kinds={"python", "mlflow"},
    owners=list(keys.OWNERS),
    deps=[keys.HBMMM_POSTERIOR, keys.CONSUMER_PANEL],
)
def robustness_checks(context: dg.AssetExecutionContext, config: RobustnessRunConfig) -> dg.MaterializeResult:
    """Channel effects under other priors, consumers, periods, markets and columns, by refits; Figure 6 of the paper."""
    refresh = load_refresh()
    given = robustness_input(refresh, config)
    if given is None:
        return without_fit(refresh, "robustness_checks")
    from models.figures.robustness import robustness_heatmap

    table = checks_table(given)
    publish(given, "robustness_checks", table)
    shown = ["specification_kind", "specification", "channel_id", "estimand", "mean", "difference", "reason"]
    metadata: dict[str, Any] = {
        "dagster/row_count": len(table),
        "specifications_count": int(table["specification"].nunique()),
        **given.sizes,
        "results": markdown(table.reindex(columns=shown), most_rows=80),
    }
    if "mean" in table and table["mean"].notna().any():
        heatmap = robustness_heatmap(table)
        log_robustness(given, {"robustness_checks": table}, {"robustness_heatmap": heatmap})
        metadata["heatmap"] = picture(heatmap)
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(
    key=keys.PLACEBO_REFITS,
    group_name=keys.ROBUSTNESS,
    kinds={"python", "mlflow"},
    owners=list(keys.OWNERS),
    deps=[keys.HBMMM_POSTERIOR, keys.CONSUMER_PANEL],
)
def placebo_refits(context: dg.AssetExecutionContext, config: RobustnessRunConfig) -> dg.MaterializeResult:
    """The model refitted on exchanged exposure histories, hundreds of times; Table 8 of the paper, with the size."""
    refresh = load_refresh()
    given = robustness_input(refresh, config)
    if given is None:
        return without_fit(refresh, "placebo_refits")
    table = placebo_table(given)
    publish(given, "placebo_refits", table)
    if table["replicates_count"].max() > 0:
        log_robustness(given, {"placebo_refits": table}, {})
    return dg.MaterializeResult(
        metadata={"dagster/row_count": len(table), **given.sizes, "results": markdown(table)}
    )


def robustness_input(refresh: Refresh, config: RobustnessRunConfig) -> RobustnessInput | None:
    """The fit of this refresh and whether refits may be run; None without a fit of the outcome they know."""
    pointer = read_fit_pointer(refresh)
    if pointer["status"] != EVALUATED or pointer.get("outcome", "money") != "money":
        return None
    return RobustnessInput(refresh, pointer, config.refits or refresh.settings.robustness_refits)


def without_fit(refresh: Refresh, table: str) -> dg.MaterializeResult:
    """No rows, and the reason why there is no fit."""
    from orchestration.resources.artefacts import write_artefact

    write_artefact(refresh.artefacts_dir, table, keys.FAMILY_HBMMM, refresh.as_of_date, None)
    return dg.MaterializeResult(metadata={"status": NOT_EVALUATED, "reason": reason_without_fit(refresh)})


def reason_without_fit(refresh: Refresh) -> str:
    """Why `robustness_input` gave nothing."""
    pointer = read_fit_pointer(refresh)
    return pointer.get("reason") or f"refits know outcome money only; this fit's is {pointer['outcome']}"


def publish(given: RobustnessInput, name: str, table: "pd.DataFrame") -> None:
    """Write the artefact with the versions of model and data."""
    from orchestration.resources.artefacts import ARTEFACT_SCHEMAS, write_artefact

    refresh = given.refresh
    versions = {
        "model_name": keys.REGISTERED_HBMMM,
        "model_version": given.pointer.get("model_version"),
        "data_version": read_panel_status(refresh).data_version,
    }
    known = {column: value for column, value in versions.items() if column in ARTEFACT_SCHEMAS[name]}
    write_artefact(refresh.artefacts_dir, name, keys.FAMILY_HBMMM, refresh.as_of_date, table.assign(**known))
