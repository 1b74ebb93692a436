"""What the gate asks beyond the fit itself: held-out accuracy, and how far its effects moved from the champion's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from assets import keys
from assets.status import Refresh, read_family
from models.outcomes import FAILED, NOT_APPLICABLE, NOT_EVALUATED, PASSED
from orchestration.resources.artefacts import read_artefact
from orchestration.resources.tracking import AS_OF_DATE_TAG, Tracking

if TYPE_CHECKING:
    import pandas as pd

    from orchestration.resources.settings import Settings

NO_RIVAL = "there is no champion to compare with"


@dataclass(frozen=True)
class ComparisonLimits:
    """What a challenger must keep; a value at its limit passes.

    overlap_least : of a slope's posterior with the champion's; a smaller one passes where new rows alone would bring
        the change, that is where it is at most change_deviations_most times its standard deviation by chance
    naive_ratio_most, champion_ratio_most : root mean squared error of held-out rows over that of seasonal naive, and
        over that of the champion's settings
    coverage_error_most : distance of the share of held-out rows inside their intervals from the intervals' level
    """

    overlap_least: float = 0.8
    change_deviations_most: float = 3.0
    naive_ratio_most: float = 1.02
    champion_ratio_most: float = 1.02
    coverage_error_most: float = 0.05

    @classmethod
    def from_settings(cls, settings: "Settings") -> "ComparisonLimits":
        """The limits of a deployment."""
        return cls(
            overlap_least=settings.gate_overlap_least,
            naive_ratio_most=settings.gate_naive_ratio_most,
            champion_ratio_most=settings.gate_champion_ratio_most,
            coverage_error_most=settings.gate_coverage_error_most,
        )


def held_out_rows(found: Mapping[str, Any], limits: ComparisonLimits) -> list[dict[str, Any]]:
    """Three rows of the gate from what evaluation/held_out_accuracy measured."""
    names = ("held_out_against_seasonal_naive", "held_out_against_champion", "held_out_interval_coverage")
    if "rmse" not in found:
        outcome = NOT_APPLICABLE if "not_applicable" in found else NOT_EVALUATED
        text = str(found.get("not_applicable") or found.get("reason"))
        return [_row(name, outcome, None, None, text) for name in names]
    where = f"{found['rows_count']:,} held-out rows of {found['split']}"
    naive = found["rmse"] / found["rmse_seasonal_naive"]
    rows = [
        _at_most(
            names[0], naive, limits.naive_ratio_most, f"error on {where}, as a multiple of seasonal naive's"
        )
    ]
    champion = found.get("rmse_champion")
    if champion is not None:
        what = f"error on {where}, as a multiple of that of the champion's settings"
        rows.append(_at_most(names[1], found["rmse"] / champion, limits.champion_ratio_most, what))
    elif found.get("rival") is None:
        rows.append(_row(names[1], NOT_APPLICABLE, None, None, NO_RIVAL))
    else:
        text = f"the home does not hold the fit of version {found['rival']} any more"
        rows.append(_row(names[1], NOT_EVALUATED, None, None, text))
    error = abs(found["interval_coverage"] - found["interval_level"])
    level = found["interval_level"]
    what = f"{found['interval_coverage']:.3f} of {where} lie in their intervals of {level:g}; distance"
    return [*rows, _at_most(names[2], error, limits.coverage_error_most, what)]


def stability_row(refresh: Refresh, champion: str | None, limits: ComparisonLimits) -> dict[str, Any]:
    """The gate's row on how far the challenger's slopes moved from those of the champion that it came to replace."""
    name = "refresh_stability"
    if champion is None:
        return _row(name, NOT_APPLICABLE, None, None, NO_RIVAL)
    _, tables = read_family(refresh, keys.FAMILY_HBMMM)
    if "channel_effects" not in tables:
        return _row(name, NOT_EVALUATED, None, None, "the challenger has no effects")
    served = served_effects(refresh, champion)
    if served.empty:
        text = f"the home does not hold the effects of version {champion} any more"
        return _row(name, NOT_EVALUATED, None, None, text)
    return judged_stability(served, tables["channel_effects"], limits)


def judged_stability(
    served: "pd.DataFrame", current: "pd.DataFrame", limits: ComparisonLimits
) -> dict[str, Any]:
    """The row from two tables of channel effects: slopes over all rows, the worst overlap decides."""
    import numpy as np

    from models.checks.refresh_stability import compare_published

    slopes = [
        one[(one["estimand"] == "slope") & (one["exposure_distribution"] == "panel_rows")]
        for one in (served, current)
    ]
    table = compare_published(*slopes)
    known = table[table["overlap"].notna()]
    name, least = "refresh_stability", limits.overlap_least
    if known.empty:
        return _row(name, NOT_EVALUATED, None, least, "no slope is in both")
    chance = np.hypot(known["chance_standard_deviation"], known["monte_carlo_error"].fillna(0.0))
    beyond = known["change_total"].abs() > limits.change_deviations_most * chance
    moved = known[(known["overlap"] < least) & beyond]
    lowest = known.loc[known["overlap"].idxmin()]
    text = f"least overlap of a slope's posterior with the champion's: {lowest['overlap']:.3f} ({lowest['channel_id']})"
    if len(moved):
        text += (
            f"; {', '.join(moved['channel_id'])} moved further than new rows explain (overlap below {least:g}, more "
            f"than {limits.change_deviations_most:g} standard deviations). See reporting.refresh_stability for why; "
            "where the change is right, promote by hand with a reason"
        )
    return _row(name, FAILED if len(moved) else PASSED, float(lowest["overlap"]), least, text)


def served_effects(refresh: Refresh, version: str) -> "pd.DataFrame":
    """Channel effects that a version published for its own as-of date; empty where they are gone."""
    tracking = Tracking.from_settings(refresh.settings)
    tag = tracking.version_tag(keys.REGISTERED_HBMMM, version, AS_OF_DATE_TAG)
    day = date.fromisoformat(tag) if tag else refresh.as_of_date
    rows = read_artefact(refresh.artefacts_dir, "channel_effects", keys.FAMILY_HBMMM, day)
    return rows[rows["model_version"].astype(str) == str(version)]


def _at_most(name: str, value: float, limit: float, what: str) -> dict[str, Any]:
    text = f"{what}: {value:.4g}, should be at most {limit:g}"
    if value != value:
        return _row(name, NOT_EVALUATED, None, limit, f"{what}: no value")
    return _row(name, PASSED if value <= limit else FAILED, float(value), limit, text)


def _row(name: str, outcome: str, value: float | None, threshold: float | None, text: str) -> dict[str, Any]:
    return {"check_name": name, "outcome": outcome, "value": value, "threshold": threshold, "text": text}
