"""Is there somebody to compare with? One result per channel, from propensity scores."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from models.checks.base import CheckResult
from models.effects.overlap import overlap_statistics
from models.effects.propensity import fit_propensity
from models.errors import OverlapError
from models.panel import ConsumerPanel


@dataclass(frozen=True)
class OverlapThresholds:
    """Limits: at most this share of scores clipped, at least this effective share of the rows of each arm."""

    clipped_share: float = 0.10
    ess_share: float = 0.10
    rows_count: int = 50  # fewer rows in an arm cannot be judged
    clipping_threshold: float = 0.01


@dataclass(frozen=True, eq=False)
class OverlapResult(CheckResult):
    """coefficients : lambda of the fitted propensity, with intervals (`LogisticPosterior.coefficient_table`) and the
    channel in `channel_id`; without rows where none was fitted."""

    coefficients: pd.DataFrame = field(default_factory=pd.DataFrame)


def check_overlap(
    panel: ConsumerPanel, channel_id: str, thresholds: OverlapThresholds | None = None
) -> OverlapResult:
    """Check `overlap_sufficient` of exposed (any exposure in the period) against unexposed rows of one channel.

    Failed where every row is exposed: no support for the unexposed state. Not evaluated where fewer than
    `rows_count` rows are exposed, or unexposed but some.
    """
    limits = thresholds or OverlapThresholds()
    name = "overlap_sufficient"
    exposed = panel.exposures[:, panel.channel_ids.tolist().index(channel_id)] > 0
    counts = {"exposed": int(exposed.sum()), "unexposed": int((~exposed).sum())}
    if counts["unexposed"] == 0 and counts["exposed"] >= limits.rows_count:
        text = f"{channel_id}: all {counts['exposed']} consumer-periods are exposed, nobody shows the other state."
        return OverlapResult(name, False, text, 0.0, limits.ess_share, _empty_table(channel_id, exposed))
    few = [f"{count} {arm}" for arm, count in counts.items() if count < limits.rows_count]
    if few:
        text = f"{channel_id}: not evaluated, {' and '.join(few)} consumer-periods (at least {limits.rows_count})."
        return OverlapResult(name, None, text, None, limits.ess_share, _empty_table(channel_id, exposed))
    try:
        fit = fit_propensity(panel, channel_id, clipping_threshold=limits.clipping_threshold)
    except OverlapError as error:
        return OverlapResult(
            name, None, str(error), None, limits.ess_share, _empty_table(channel_id, exposed)
        )
    found = overlap_statistics(fit)
    passed = found["clipped_share"] <= limits.clipped_share and found["ess_share"] >= limits.ess_share
    text = (
        f"{channel_id}: {found['clipped_share']:.1%} of scores clipped (limit {limits.clipped_share:.0%}), effective "
        f"share of the thinner arm {found['ess_share']:.1%} (limit {limits.ess_share:.0%}), scores from "
        f"{found['propensity_min']:.3f} to {found['propensity_max']:.3f}."
    )
    coefficients = fit.posterior.coefficient_table()
    coefficients.insert(0, "channel_id", channel_id)
    table = pd.DataFrame([found])
    return OverlapResult(
        name, bool(passed), text, found["ess_share"], limits.ess_share, table, coefficients=coefficients
    )


def _empty_table(channel_id: str, exposed: np.ndarray) -> pd.DataFrame:
    share = float(exposed.mean()) if len(exposed) else np.nan
    return pd.DataFrame([{"channel_id": channel_id, "rows_count": len(exposed), "treated_share": share}])
