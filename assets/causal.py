"""Group effects: the causal layer's second opinions, with overlap and sensitivity beside them."""

import time

import dagster as dg

from assets import keys
from assets.checks import markdown
from assets.identification import withhold_without_interval
from assets.status import EVALUATED, load_refresh, read_panel_status, write_family
from models.outcomes import NOT_EVALUATED

#: Separates the random numbers of the causal layer from those of the fits (0) and of the placebos (1).
_SEED_STREAM = 2
_DIFFERENCES = ["difference_from_others", "difference_lower", "difference_upper"]
_SEGMENT_EXTRAS = ["rows_count", *_DIFFERENCES]  # segment columns that the published table does not have
_SEGMENT_SHOWN = ["channel_id", "segment_name", "segment_value", "consumers_count", *_DIFFERENCES]
_SHOWN = [
    "channel_id",
    "estimand",
    "method",
    "mean",
    "interval_lower",
    "interval_upper",
    "error_ratio",
    "unit",
]


@dg.asset(
    key=keys.CAUSAL_ESTIMATES,
    group_name=keys.EFFECTS,
    kinds={"python", "scikitlearn"},
    owners=list(keys.OWNERS),
    deps=[keys.CONSUMER_PANEL],
)
def causal_estimates(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Second opinions by weighting, doubly robust scores and doses; how far rows overlap, what could overturn it."""
    refresh = load_refresh()
    status = read_panel_status(refresh)
    if not status.is_evaluated:
        write_family(refresh, keys.FAMILY_CAUSAL, status.status, status.reason)
        return dg.MaterializeResult(metadata={"status": status.status, "reason": status.reason})
    import numpy as np

    from models.effects.causal_effects import CausalConfig, causal_effects
    from models.effects.consumer_bootstrap import CONSUMERS_MINIMUM
    from models.effects.segment_effects import categorical_segments

    started = time.monotonic()
    panel, sizes = refresh.panel_sample(refresh.read_panel())
    if panel.consumers_count < CONSUMERS_MINIMUM:
        reason = f"{panel.consumers_count} consumers, at least {CONSUMERS_MINIMUM} are needed"
        write_family(refresh, keys.FAMILY_CAUSAL, NOT_EVALUATED, reason)
        return dg.MaterializeResult(metadata={"status": NOT_EVALUATED, "reason": reason})
    rng = np.random.default_rng([refresh.settings.seed, _SEED_STREAM])
    config = CausalConfig(interval_level=refresh.settings.interval_level)
    found = causal_effects(panel, rng, config, segments=categorical_segments(panel))
    tables = {"channel_effects": withhold_without_interval(found.channel)}
    beside = {"overlap": found.overlap, "sensitivity": found.sensitivity}
    if not found.segment.empty:  # it is where no channel has an exposed and an unexposed arm
        rows = found.segment.drop(columns=_SEGMENT_EXTRAS)
        tables["segment_channel_effects"] = withhold_without_interval(rows)
        beside["segment_differences"] = found.segment[_SEGMENT_SHOWN]
    working = {name: table for name, table in beside.items() if not table.empty}
    write_family(refresh, keys.FAMILY_CAUSAL, EVALUATED, None, tables | working, **sizes)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(tables["channel_effects"]),
            "seconds": round(time.monotonic() - started, 1),
            **sizes,
            "channel_effects": markdown(tables["channel_effects"][_SHOWN], most_rows=100),
            **{name: markdown(table, most_rows=100) for name, table in working.items()},
        }
    )
