"""Placebos: quantities whose true effect is zero by construction.

*Lead*: exposure of later periods cannot move purchases now. If it seems to, something that comes and goes moves
both, and within-consumer effects of that channel are not identified.

*History swap*: consumers who look alike (same market, same spend stratum) exchange whole exposure histories.
The other's exposures moved nothing, so the effect is zero on data as real as they come. It shows whether an
estimator's intervals have the right size under real targeting. It cannot see time-varying confounding: a swap
takes the coincidence of wish and exposure away.

Shuffling single rows is not offered: it averages zero for every estimator, biased or not, and proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import bdtrc, ndtr

from models.effects.within import concave_columns, fit_within, period_groups, within_effects
from models.errors import PanelError
from models.panel import ConsumerPanel

SIGNIFICANCE_LEVEL = 0.05
REPLICATES_MINIMUM = 20
EXPOSED_ROWS_MINIMUM = 30  # fewer rows with a later exposure say nothing either way
COLUMNS = (
    "placebo_kind",
    "channel_id",
    "estimand",
    "estimate",
    "standard_error",
    "p_value",
    "replicates_count",
    "passed",
    "reason",
)
Estimator = Callable[[ConsumerPanel], pd.DataFrame]


def lead_placebo(
    panel: ConsumerPanel,
    periods_count: int,
    *,
    period_effects: str = "period",
    significance_level: float = SIGNIFICANCE_LEVEL,
) -> pd.DataFrame:
    """Test, per channel, that exposure of the next `periods_count` periods has no effect now.

    The leads of all channels enter the within regression together, linearly, beside present exposures.
    `estimate` is GMV now per additional later exposure. `passed` is False where it differs from zero at the
    significance level, None (with a reason) where there is too little to test, and never True by default.
    """
    leads, observed = panel.lead_exposures(periods_count)
    part = panel.rows_subset(observed)
    now, names = concave_columns(part["exposures"], panel.channel_ids, panel.exposure_bends)
    lead_names = [f"lead {channel}" for channel in panel.channel_ids]
    columns = np.column_stack([now, part["covariates"], leads[observed]])
    names = (*names, *panel.covariate_names, *lead_names)
    fit = None
    if observed.sum() > columns.shape[1]:
        groups = period_groups(panel, period_effects)[observed]
        fit = fit_within(part["gmv"], columns, names, part["consumer_index"], groups)
    rows = []
    for c, channel_id in enumerate(panel.channel_ids):
        exposed = int((leads[observed, c] > 0).sum())
        at = len(names) - len(lead_names) + c
        row = {"placebo_kind": "lead", "channel_id": channel_id, "estimand": "slope", "replicates_count": 1}
        if exposed < EXPOSED_ROWS_MINIMUM:
            reason = f"{exposed} rows have a later exposure, at least {EXPOSED_ROWS_MINIMUM} are needed"
            rows.append({**row, **_not_evaluated(reason)})
        elif fit is None or not fit.is_estimated[at]:
            rows.append({**row, **_not_evaluated("later exposure does not vary within consumers")})
        else:
            weights = np.zeros(len(names))
            weights[at] = 1.0
            estimate, error = fit.combination(weights)
            p_value = float(2 * ndtr(-abs(estimate / error)))
            passed = p_value >= significance_level
            span = "period" if periods_count == 1 else f"{periods_count} periods"
            said = f"exposure of the next {span} predicts purchases now (p = {p_value:.2g})"
            tested = {"estimate": estimate, "standard_error": error, "p_value": p_value}
            rows.append({**row, **tested, "passed": passed, "reason": None if passed else said})
    return _frame(rows)


def history_swap_placebo(
    panel: ConsumerPanel,
    rng: np.random.Generator,
    *,
    replicates_count: int = REPLICATES_MINIMUM,
    estimator: Estimator | None = None,
    significance_level: float = SIGNIFICANCE_LEVEL,
) -> pd.DataFrame:
    """Give every consumer the whole exposure history of a look-alike, estimate, repeat; truth is zero.

    `estimator` takes a panel and returns `channel_effects` rows (default: within-consumer regression); its
    rows of estimand slope over panel_rows are used. `estimate` and `standard_error` are mean and standard
    deviation over replicates; `share_significant` is the share whose interval at 1 - significance_level
    excludes zero; `p_value` is the probability of at least that many if the size were right. Replicates share
    one outcome, so the p-value is a guide, not exact.
    """
    if replicates_count < REPLICATES_MINIMUM:
        raise PanelError(
            f"{replicates_count} history swaps cannot show a size; give at least {REPLICATES_MINIMUM} replicates."
        )
    estimate = estimator or within_effects
    groups = look_alike_groups(panel)
    swappable = swappable_share(groups)
    draws = []
    for replicate in range(replicates_count):
        effects = estimate(swap_histories(panel, groups, rng))
        chosen = effects[
            (effects["estimand"] == "slope") & (effects["exposure_distribution"] == "panel_rows")
        ]
        draws.append(chosen.assign(replicate=replicate))
    table = pd.concat(draws, ignore_index=True)
    table["z"] = table["mean"] / table["standard_deviation"]
    table["significant"] = 2 * ndtr(-table["z"].abs()) < significance_level
    rows = []
    for channel_id in panel.channel_ids:
        part = table[(table["channel_id"] == channel_id) & np.isfinite(table["z"])]
        row = {"placebo_kind": "history_swap", "channel_id": channel_id, "estimand": "slope"}
        row["replicates_count"] = len(part)
        if len(part) < REPLICATES_MINIMUM or swappable < 0.5:
            reason = (
                f"{len(part)} replicates could be estimated; {swappable:.0%} of consumers have a look-alike"
            )
            rows.append({**row, **_not_evaluated(reason), "share_significant": np.nan})
            continue
        hits = int(part["significant"].sum())
        p_value = float(bdtrc(hits - 1, len(part), significance_level)) if hits else 1.0
        passed = p_value >= significance_level
        said = f"{hits} of {len(part)} swapped histories have a significant effect, {significance_level:.0%} expected"
        row |= {"estimate": float(part["mean"].mean()), "standard_error": float(part["mean"].std(ddof=1))}
        row |= {"p_value": p_value, "passed": passed, "reason": None if passed else said}
        rows.append({**row, "share_significant": hits / len(part)})
    frame = _frame(rows)
    frame["share_significant"] = [row["share_significant"] for row in rows]
    return frame


def look_alike_groups(panel: ConsumerPanel) -> np.ndarray:
    """(N,) group of each consumer: same home market and same pre-period spend stratum."""
    stratum, _ = pd.factorize(panel.spend_stratum, sort=True)
    return panel.consumer_market_index * (int(stratum.max()) + 1) + stratum


def swappable_share(groups: np.ndarray) -> float:
    """Share of consumers (N,) whose group holds somebody else."""
    _, sizes = np.unique(groups, return_counts=True)
    return float(sizes[sizes > 1].sum() / sizes.sum())


def swap_histories(panel: ConsumerPanel, groups: np.ndarray, rng: np.random.Generator) -> ConsumerPanel:
    """The panel in which every consumer has the exposures, of the same dates, of another of the own group (N,)."""
    partner = _partners(groups, rng)[panel.consumer_index]
    when = panel.calendar_index
    histories = [panel.exposures_by_calendar(c) for c in range(len(panel.channel_ids))]
    return panel.with_exposures(np.column_stack([h[partner, when] for h in histories]))


def _partners(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A partner for every consumer in the own group, never oneself unless alone: a random cycle per group."""
    order = np.lexsort((rng.random(len(groups)), groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    following = np.arange(1, len(groups) + 1)
    following[np.append(starts[1:], len(groups)) - 1] = starts
    partner = np.empty(len(groups), dtype=np.int64)
    partner[order] = order[following]
    return partner


def _not_evaluated(reason: str) -> dict[str, object]:
    missing = {"estimate": np.nan, "standard_error": np.nan, "p_value": np.nan}
    return {**missing, "passed": None, "reason": reason}


def _frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in ("passed", "reason"):  # None stays None
        frame[name] = pd.Series([row[name] for row in rows], dtype=object)
    return frame
