"""Group panels: the exported marts as the validated panel that consumer-level models read."""

from collections import Counter

import dagster as dg

from assets import keys
from assets.status import (
    EVALUATED,
    FIT_MART_NAMES,
    NO_CONSUMER_DATA,
    NO_EXPOSURE,
    PanelStatus,
    Refresh,
    load_refresh,
    read_columns,
    write_panel_status,
)
from models.outcomes import NOT_EVALUATED


@dg.asset(
    key=keys.CONSUMER_PANEL,
    group_name=keys.PANELS,
    kinds={"python", "parquet"},
    owners=list(keys.OWNERS),
    deps=[*keys.PANEL_MARTS, keys.SUFFICIENT_STATISTICS, keys.DESIGN_COLUMNS, keys.CURRENT_REFRESH],
)
def consumer_panel(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Consumers, channels and periods that count, validated; or why there is no consumer panel."""
    refresh = load_refresh()
    status = _panel_status(refresh)
    write_panel_status(refresh, status)
    if status.reason:
        context.log.warning(f"consumer-level families are not evaluated: {status.reason}")
    return dg.MaterializeResult(
        metadata={
            "status": status.status,
            "reason": status.reason or "",
            "data_version": status.data_version,
            **status.counts,
        },
        data_version=dg.DataVersion(status.content_hash),
    )


def _panel_status(refresh: Refresh) -> PanelStatus:
    content = refresh.content_hash(FIT_MART_NAMES)
    version = f"{refresh.as_of_date.isoformat()}.{refresh.loads_hash[:8]}.{content}"
    reason, counts = _reason_and_counts(refresh)
    return PanelStatus(NOT_EVALUATED if reason else EVALUATED, reason, version, content, counts)


def _reason_and_counts(refresh: Refresh) -> tuple[str | None, dict[str, object]]:
    rows = read_columns(refresh.mart_path("consumer_periods"), ("is_in_panel", "exclusion_reason"))
    counts: dict[str, object] = {"consumer_periods_count": len(rows)}
    if rows.empty:
        return NO_CONSUMER_DATA, counts
    if not rows["is_in_panel"].any():
        excluded = Counter(rows["exclusion_reason"].dropna())
        return f"no consumer-period is in the panel; excluded as {dict(excluded.most_common())}", counts
    panel = refresh.read_panel()
    counts |= {
        "consumers_count": len(panel.consumer_ids),
        "panel_rows_count": panel.rows_count,
        "markets_count": len(panel.market_ids),
        "channels": [str(channel) for channel in panel.channel_ids],
        "periods_count": len(panel.period_starts),
        "covariates": list(panel.covariate_names),
        "covariates_incomplete": list(panel.covariates_incomplete),
        "characteristics": [str(name) for name in panel.characteristics.columns],
    }
    return (None if panel.exposures.any() else NO_EXPOSURE), counts
