"""Group effects: within-consumer estimates, overlap, and the combined effect tables that dbt publishes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.checks import NOT_EVALUATED, OVERLAP_IS_SUFFICIENT, check_result, markdown, outcome_of, picture
from assets.identification import lead_placebo_reasons, mark_identified, roas_rows, unexposed_rows
from assets.status import EVALUATED, Refresh, load_refresh, read_family, read_panel_status, write_family

if TYPE_CHECKING:
    import pandas as pd

_ESTIMATING_FAMILIES = (keys.FAMILY_HBMMM, keys.FAMILY_WITHIN)
_EFFECT_KEYS = {
    "channel_effects": keys.CHANNEL_EFFECTS,
    "market_channel_effects": keys.MARKET_CHANNEL_EFFECTS,
    "segment_channel_effects": keys.SEGMENT_CHANNEL_EFFECTS,
    "consumer_channel_effects": keys.CONSUMER_CHANNEL_EFFECTS,
}


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
    from models.effects.within import within_effects

    effects = within_effects(refresh.read_panel(), interval_level=refresh.settings.interval_level)
    write_family(refresh, keys.FAMILY_WITHIN, EVALUATED, None, {"channel_effects": effects})
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
        metadata={"dagster/row_count": len(effects), "channel_effects": markdown(effects[shown])}
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

    panel = refresh.read_panel()
    results = [check_overlap(panel, channel) for channel in panel.channel_ids]
    table = pd.concat([result.table for result in results], ignore_index=True)
    table["outcome"] = [result.outcome for result in results]
    table["text"] = [result.text for result in results]
    write_family(refresh, keys.FAMILY_OVERLAP, EVALUATED, None, {"overlap": table})
    yield dg.MaterializeResult(metadata={"overlap": markdown(table)})
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

    from orchestration.resources.artefacts import read_artefact, write_artefact

    refresh = load_refresh()
    status = read_panel_status(refresh)
    families = {family: read_family(refresh, family) for family in keys.CONSUMER_FAMILIES}
    declared, spend = channels_and_spend(refresh)
    placebo = read_artefact(refresh.artefacts_dir, "placebo_results", keys.FAMILY_PLACEBO, refresh.as_of_date)
    reasons = lead_placebo_reasons(placebo, declared)
    written: dict[str, list[pd.DataFrame]] = {name: [] for name in _EFFECT_KEYS}
    for family in _ESTIMATING_FAMILIES:
        family_status, tables = families[family]
        for name in _EFFECT_KEYS:
            effects = tables.get(name)
            if effects is not None:
                effects = _completed(effects, name, declared, spend, reasons)
                effects["data_version"] = status.data_version
                effects["model_version"] = family_status["facts"].get("model_version")
                effects = _with_champion_rows(effects, refresh, name, family)
                written[name].append(effects)
            write_artefact(refresh.artefacts_dir, name, family, refresh.as_of_date, effects)
    rows = []
    for family, (family_status, _) in families.items():
        row = {name: family_status[name] for name in ("family", "status", "reason", "rows_count")}
        row["data_version"] = status.data_version
        write_artefact(
            refresh.artefacts_dir, "family_status", family, refresh.as_of_date, pd.DataFrame([row])
        )
        rows.append(row)
    for name, key in _EFFECT_KEYS.items():
        yield dg.MaterializeResult(asset_key=key, metadata=_facts(name, written[name]))
    yield dg.MaterializeResult(
        asset_key=keys.FAMILY_STATUS,
        metadata={"families": markdown(pd.DataFrame(rows).drop(columns="data_version"))},
    )


def channels_and_spend(refresh: Refresh) -> tuple[list[str], dict[str, float | None]]:
    """Declared channels, and the money spent on each over the panel periods where all of it is known."""
    activity = refresh.read_mart("market_channel_periods")
    channels = sorted(activity["channel_id"].astype(str).unique())
    spend: dict[str, float | None] = {}
    for channel in channels:
        rows = activity[
            (activity["channel_id"] == channel) & ~refresh.is_pre_period(activity["period_start_date"])
        ]
        amounts = rows["spend_amount"].astype("float64")
        spend[channel] = None if amounts.isna().any() or not amounts.sum() > 0 else float(amounts.sum())
    return channels, spend


def _completed(
    effects: "pd.DataFrame",
    name: str,
    declared: list[str],
    spend: dict[str, float | None],
    reasons: dict[str, str | None],
) -> "pd.DataFrame":
    """Identification marks; in the table by channel also ROAS and the channels that nobody was exposed to."""
    import pandas as pd

    marked = mark_identified(effects, reasons)
    if name != "channel_effects":
        return marked
    parts = [marked, roas_rows(marked, spend), unexposed_rows(marked, declared)]
    return pd.concat([part.astype(object) for part in parts if not part.empty], ignore_index=True)


def _with_champion_rows(effects: "pd.DataFrame", refresh: Refresh, name: str, family: str) -> "pd.DataFrame":
    """Keep the champion's rows of this as-of date beside a challenger's, until the gate has decided."""
    if family != keys.FAMILY_HBMMM:
        return effects
    import pandas as pd

    from orchestration.resources.artefacts import read_artefact
    from orchestration.resources.tracking import CHAMPION, Tracking

    champion = Tracking.from_settings(refresh.settings).alias_version(keys.REGISTERED_HBMMM, CHAMPION)
    before = read_artefact(refresh.artefacts_dir, name, family, refresh.as_of_date)
    kept = before[
        (before["model_version"] == champion) & ~before["model_version"].isin(effects["model_version"])
    ]
    if champion is None or kept.empty:
        return effects
    return pd.concat([effects.astype(object), kept.astype(object)], ignore_index=True)


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
        from models.figures.effects import effects_forest

        slope = table[(table["estimand"] == "slope") & (table["exposure_distribution"] == "panel_rows")]
        columns = ["channel_id", "estimand", "model_name", "mean", "interval_lower", "interval_upper", "unit"]
        facts["effects"] = markdown(table[[*columns, "is_identified", "not_identified_reason"]])
        if not slope.empty:
            facts["slopes"] = picture(effects_forest(slope.infer_objects(), "slope"))
    return facts
