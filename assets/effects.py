"""Group effects: within-consumer estimates, overlap, and the combined effect tables that dbt publishes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.champions import with_champion_rows
from assets.checks import OVERLAP_IS_SUFFICIENT, check_result, markdown, picture
from assets.fits import log_forest
from assets.identification import lead_placebo_reasons, mark_identified, unexposed_rows
from assets.status import (
    EVALUATED,
    Refresh,
    load_refresh,
    publish_status,
    read_family,
    read_panel_status,
    write_family,
)
from models.outcomes import NOT_EVALUATED, outcome_of
from orchestration.resources.artefacts import EFFECT_TABLES, read_artefact, write_artefact

if TYPE_CHECKING:
    import pandas as pd

    from models.effects.roas import Spend

_SENSITIVITY_KEY = ("channel_id", "estimand", "exposure_distribution", "horizon", "method")
_ESTIMATING_FAMILIES = (keys.FAMILY_HBMMM, keys.FAMILY_WITHIN, keys.FAMILY_CAUSAL, keys.FAMILY_CARRYOVER)


@dg.asset(
    key=keys.WITHIN_CONSUMER_ESTIMATES,
    group_name=keys.EFFECTS,
    kinds={"python"},
    owners=list(keys.OWNERS),
    deps=[keys.CONSUMER_PANEL],
)
def within_consumer_estimates(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What changes in a consumer's purchases when that consumer's exposure changes, by fixed effects."""
    refresh = load_refresh()
    status = read_panel_status(refresh)
    if not status.is_evaluated:
        write_family(refresh, keys.FAMILY_WITHIN, status.status, status.reason)
        return dg.MaterializeResult(metadata={"status": status.status, "reason": status.reason})
    from models.effects.sensitivity import sensitivity_table, within_degrees
    from models.effects.within import within_effects

    panel = refresh.read_panel()
    effects = within_effects(panel, interval_level=refresh.settings.interval_level)
    sensitivity = sensitivity_table(effects, within_degrees(panel))
    tables = {"channel_effects": effects, "sensitivity": sensitivity}
    write_family(refresh, keys.FAMILY_WITHIN, EVALUATED, None, tables)
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
            "dagster/row_count": len(effects),
            "channel_effects": markdown(effects[shown]),
            "sensitivity": markdown(sensitivity),
        }
    )


@dg.asset(
    key=keys.OVERLAP,
    group_name=keys.EFFECTS,
    kinds={"python"},
    owners=list(keys.OWNERS),
    deps=[keys.CONSUMER_PANEL],
    check_specs=[OVERLAP_IS_SUFFICIENT],
)
def exposure_overlap(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """Per channel: are there comparable exposed and unexposed consumer-periods, by propensity on lagged history."""
    refresh = load_refresh()
    status = read_panel_status(refresh)
    if not status.is_evaluated:
        write_family(refresh, keys.FAMILY_OVERLAP, status.status, status.reason)
        yield dg.MaterializeResult(metadata={"status": status.status, "reason": status.reason})
        yield check_result(OVERLAP_IS_SUFFICIENT, NOT_EVALUATED, str(status.reason))
        return
    import pandas as pd

    from models.checks.base import combined
    from models.checks.overlap import check_overlap

    panel, sizes = refresh.panel_sample(refresh.read_panel())
    results = [check_overlap(panel, channel) for channel in panel.channel_ids]
    table = pd.concat([result.table for result in results], ignore_index=True)
    table["outcome"] = [result.outcome for result in results]
    table["text"] = [result.text for result in results]
    coefficients = pd.concat([result.coefficients for result in results], ignore_index=True)
    tables = {"overlap": table} | ({} if coefficients.empty else {"propensity_coefficients": coefficients})
    write_family(refresh, keys.FAMILY_OVERLAP, EVALUATED, None, tables)
    yield dg.MaterializeResult(
        metadata={
            "overlap": markdown(table),
            "propensity_coefficients": markdown(coefficients, most_rows=100),
            **sizes,
        }
    )
    yield check_result(
        OVERLAP_IS_SUFFICIENT,
        outcome_of(combined([result.passed for result in results])),
        "; ".join(result.text for result in results if result.passed is not True) or "every channel passes",
    )


def _spec(key: dg.AssetKey, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        description=description,
        group_name=keys.EFFECTS,
        kinds={"python", "parquet"},
        owners=list(keys.OWNERS),
        deps=[
            keys.HBMMM_ESTIMATES,
            keys.WITHIN_CONSUMER_ESTIMATES,
            keys.CAUSAL_ESTIMATES,
            keys.CARRYOVER_ESTIMATES,
            keys.RESPONSE_ESTIMATES,
            keys.OVERLAP,
            keys.PLACEBO_RESULTS,
            keys.MARKET_CHANNEL_PERIODS,
        ],
    )


@dg.multi_asset(
    name="consumer_effects_published",
    specs=[
        _spec(keys.CHANNEL_EFFECTS, "Effects by channel of every method, marked identified or not."),
        _spec(keys.MARKET_CHANNEL_EFFECTS, "Effects by market and channel."),
        _spec(keys.SEGMENT_CHANNEL_EFFECTS, "Effects by segment of consumers and channel."),
        _spec(keys.CONSUMER_CHANNEL_EFFECTS, "Effects by consumer and channel."),
        _spec(keys.FAMILY_STATUS, "Which families ran, and why others did not."),
    ],
)
def consumer_effects_published(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Put the families' estimates together: identification, ROAS where spend is known, versions."""
    import pandas as pd

    refresh = load_refresh()
    status = read_panel_status(refresh)
    families = {family: read_family(refresh, family) for family in keys.CONSUMER_FAMILIES}
    families[keys.FAMILY_CARRYOVER] = _of_this_fit(families)
    declared, spend = channels_and_spend(refresh)
    placebo = read_artefact(refresh.artefacts_dir, "placebo_results", keys.FAMILY_PLACEBO, refresh.as_of_date)
    reasons = lead_placebo_reasons(placebo, declared)
    written: dict[str, list[pd.DataFrame]] = {name: [] for name in EFFECT_TABLES}
    estimated: list[pd.DataFrame] = []  # rows by channel of this refresh, without those kept of a champion
    for family in _ESTIMATING_FAMILIES:
        family_status, tables = families[family]
        for name in EFFECT_TABLES:
            effects = tables.get(name)
            if effects is not None:
                if name == "channel_effects":
                    effects = with_robustness_values(effects, tables.get("sensitivity"))
                effects = _completed(effects, name, declared, spend, reasons)
                effects["data_version"] = status.data_version
                effects["model_version"] = family_status["facts"].get("model_version")
                if name == "channel_effects":
                    estimated.append(effects)
                effects = with_champion_rows(effects, refresh, name, family)
                written[name].append(effects)
            write_artefact(refresh.artefacts_dir, name, family, refresh.as_of_date, effects)
    market_status, market_tables = read_family(refresh, keys.FAMILY_RESPONSE)
    for name in EFFECT_TABLES:
        effects = _of_markets(refresh, market_status, market_tables.get(name), name)
        written[name] += [effects] if effects is not None else []
    rows = [publish_status(refresh, found, status.data_version) for found, _ in families.values()]
    rows.append(publish_status(refresh, market_status, market_status["facts"]["data_version"]))
    forest = _slope_forest(estimated)
    if forest is not None:
        log_forest(refresh, families[keys.FAMILY_HBMMM][0]["facts"].get("run_id"), forest)
    for name in EFFECT_TABLES:
        metadata = _facts(name, written[name])
        if name == "channel_effects" and forest is not None:
            metadata["slopes"] = picture(forest)
        yield dg.MaterializeResult(asset_key=keys.ARTEFACT_SOURCES[name], metadata=metadata)
    yield dg.MaterializeResult(
        asset_key=keys.FAMILY_STATUS,
        metadata={"families": markdown(pd.DataFrame(rows).drop(columns="data_version"))},
    )


def _of_markets(
    refresh: Refresh, status: dict[str, Any], effects: "pd.DataFrame | None", name: str
) -> "pd.DataFrame | None":
    """Write a table of the response model, whose rows say themselves whether they are identified (declared graph)."""
    if effects is not None:
        versions = {key: status["facts"][key] for key in ("model_version", "data_version")}
        effects = with_champion_rows(effects.assign(**versions), refresh, name, keys.FAMILY_RESPONSE)
    write_artefact(refresh.artefacts_dir, name, keys.FAMILY_RESPONSE, refresh.as_of_date, effects)
    return effects


def with_robustness_values(effects: "pd.DataFrame", sensitivity: "pd.DataFrame | None") -> "pd.DataFrame":
    """Rows of channel_effects with `robustness_value`, empty where the family's sensitivity table has no such row."""
    import numpy as np

    if sensitivity is None:
        return effects.assign(robustness_value=np.nan)
    key = [name for name in _SENSITIVITY_KEY if name in sensitivity and name in effects]
    return effects.merge(sensitivity[[*key, "robustness_value"]], on=key, how="left", validate="many_to_one")


def _of_this_fit(families: dict[str, Any]) -> "tuple[dict[str, Any], dict[str, pd.DataFrame]]":
    """Carry-over of the fit that is published; of another one it is not evaluated."""
    status, tables = families[keys.FAMILY_CARRYOVER]
    now = families[keys.FAMILY_HBMMM][0]["facts"].get("model_version")
    if status["status"] != EVALUATED or status["facts"].get("base_model_version") == now:
        return status, tables
    reason = "made of another fit than this refresh's: run job run_robustness"
    return status | {"status": NOT_EVALUATED, "reason": reason, "rows_count": 0}, {}


def channels_and_spend(refresh: Refresh) -> "tuple[list[str], dict[str, Spend]]":
    """Declared channels, and the money spent on each in all markets after the pre-period."""
    from models.effects.roas import total_spend

    activity = refresh.read_mart("market_channel_periods")
    channels = sorted(activity["channel_id"].astype(str).unique())
    counted = activity[~refresh.is_pre_period(activity["period_start_date"])]
    amounts = {name: counted.loc[counted["channel_id"] == name, "spend_amount"] for name in channels}
    return channels, {name: total_spend(values) for name, values in amounts.items()}


def _completed(
    effects: "pd.DataFrame",
    name: str,
    declared: list[str],
    spend: "dict[str, Spend]",
    reasons: dict[str, str | None],
) -> "pd.DataFrame":
    """Identification marks; in the table by channel also ROAS and the channels that nobody was exposed to."""
    import pandas as pd

    from models.effects.roas import roas_rows

    marked = mark_identified(effects, reasons)
    if name != "channel_effects":
        return marked
    parts = [marked, roas_rows(marked, spend), unexposed_rows(marked, declared)]
    return pd.concat([part.astype(object) for part in parts if not part.empty], ignore_index=True)


def _facts(name: str, parts: "list[pd.DataFrame]") -> dict[str, Any]:
    import pandas as pd

    if not parts:
        return {"dagster/row_count": 0}
    table = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    facts: dict[str, Any] = {
        "dagster/row_count": len(table),
        "rows_identified_count": int(table["is_identified"].astype(bool).sum()),
    }
    if name == "channel_effects":
        columns = ["channel_id", "estimand", "model_name", "mean", "interval_lower", "interval_upper", "unit"]
        facts["effects"] = markdown(table[[*columns, "is_identified", "not_identified_reason"]])
    return facts


def _slope_forest(parts: "list[pd.DataFrame]") -> bytes | None:
    """A picture of the slopes of all methods, marked; None without a slope."""
    import pandas as pd

    from models.figures.effects import effects_forest

    if not parts:
        return None
    table = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    slope = table[(table["estimand"] == "slope") & (table["exposure_distribution"] == "panel_rows")]
    return effects_forest(slope.infer_objects(), "slope") if not slope.empty else None
