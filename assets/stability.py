"""Refresh stability: what moved since the previous refresh, effect by effect, and why."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.checks import markdown
from assets.hbmmm import read_fit_pointer
from assets.refreshes import earlier_refresh, why_not_as_seen
from assets.robustness import publish, reason_without_fit
from assets.robustness_fits import RobustnessInput
from assets.status import EVALUATED, Refresh, load_refresh, read_family
from models.outcomes import NOT_EVALUATED

if TYPE_CHECKING:
    import pandas as pd

    from models.checks.refresh_stability import Refreshed

FIRST = "this is the first refresh with a fit: there is none before it to compare with"


@dg.asset(
    key=keys.REFRESH_STABILITY,
    group_name=keys.ROBUSTNESS,
    kinds={"python"},
    owners=list(keys.OWNERS),
    deps=[keys.HBMMM_ESTIMATES, keys.CONSUMER_PANEL],
)
def refresh_stability(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """How far every effect moved since the previous refresh: by new data, revised data, another model or chance."""
    refresh = load_refresh()
    pointer = read_fit_pointer(refresh)
    earlier = earlier_refresh(refresh)
    reason = None
    if pointer["status"] != EVALUATED or pointer.get("outcome", "money") != "money":
        reason = reason_without_fit(refresh)
    elif earlier is None:
        reason = FIRST
    if reason is not None:
        return _nothing(refresh, reason)
    table, split = stability_table(refresh, earlier)
    publish(RobustnessInput(refresh, pointer, refits=False), "refresh_stability", table)
    metadata: dict[str, Any] = {
        "dagster/row_count": len(table),
        "previous_as_of_date": earlier.as_of_date.isoformat(),
        "split": split or "into new data, revised data, model and Monte-Carlo error",
        "overlap_least": float(table["overlap"].min()),
        "results": markdown(table.drop(columns=["previous_as_of_date"]), most_rows=80),
    }
    return dg.MaterializeResult(metadata=metadata)


def stability_table(refresh: Refresh, earlier: Refresh) -> "tuple[pd.DataFrame, str | None]":
    """Rows of refresh_stability, and why they are not split into causes (None where they are)."""
    from models.checks.refresh_stability import compare_published, refresh_stability

    before, now = _effects(earlier), _effects(refresh)
    why = _why_not_split(refresh, earlier)
    if why is None:
        table = refresh_stability(_refreshed(earlier, before), _refreshed(refresh, now))
    else:
        table = compare_published(before, now)
        table["reason"] = table["reason"].fillna(f"not split: {why}")
    return table.assign(previous_as_of_date=earlier.as_of_date), why


def _why_not_split(refresh: Refresh, earlier: Refresh) -> str | None:
    if read_fit_pointer(earlier).get("outcome", "money") != "money":
        return f"the fit of {earlier.as_of_date} has another outcome"
    if not (_fit_folder(earlier) / "complete.json").exists():
        return f"the fit of {earlier.as_of_date} is gone"
    most = refresh.settings.second_opinion_consumers_count
    count = int(read_fit_pointer(refresh)["facts"]["consumers_count"])
    if count > most:
        return f"{count:,} consumers; refits are made for up to {most:,} (second_opinion_consumers_count)"
    return why_not_as_seen(earlier)


def _effects(refresh: Refresh) -> "pd.DataFrame":
    _, tables = read_family(refresh, keys.FAMILY_HBMMM)
    return tables["channel_effects"]


def _fit_folder(refresh: Refresh) -> Any:
    return refresh.artefacts_dir / "fits" / "hbmmm" / read_fit_pointer(refresh)["folder"]


def _refreshed(refresh: Refresh, effects: "pd.DataFrame") -> "Refreshed":
    from models.checks.refresh_stability import Refreshed
    from models.hbmmm.fit import HBMMMFit

    return Refreshed(HBMMMFit.load(_fit_folder(refresh) / "fit"), refresh.read_panel(), effects)


def _nothing(refresh: Refresh, reason: str) -> dg.MaterializeResult:
    from orchestration.resources.artefacts import write_artefact

    write_artefact(refresh.artefacts_dir, "refresh_stability", keys.FAMILY_HBMMM, refresh.as_of_date, None)
    return dg.MaterializeResult(metadata={"status": NOT_EVALUATED, "reason": reason})
