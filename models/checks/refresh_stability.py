"""What moved between two refreshes, effect by effect: new data, revised data, another model, Monte-Carlo error.

Four normal approximations on the fast path, each differing from its neighbour in one thing, make the split:

    change_model          previous data: refit of the current fit - refit of the previous fit
    change_revised_data   current fit:   current data up to the previous end - data as the previous refresh saw them
    change_new_data       current fit:   all current data - current data up to the previous end
    change_monte_carlo    what is left of the change of the published means: errors of draws and of the approximation

They add up to the change of the published means. The model's part holds settings, columns, scaling and completed
characteristics; code is the same in both of its refits, so that what other code did stays in the last part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from models.errors import PanelError
from models.evaluation.splits import of_consumers, panel_subset
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.refit import design_like
from models.hbmmm.refit_effects import refit_channel_effects
from models.hbmmm.statistics import SufficientStatistics
from models.panel import ConsumerPanel

KEY = ("channel_id", "estimand", "exposure_distribution")
PARTS = ("change_new_data", "change_revised_data", "change_model", "change_monte_carlo")
COLUMNS = (
    *KEY,
    "overlap",
    "change_total",
    *PARTS,
    "chance_standard_deviation",
    "monte_carlo_error",
    "reason",
)


@dataclass(frozen=True, slots=True, eq=False)
class Refreshed:
    """One refresh: its fit, the panel as it saw it, and its published channel effects (one row a KEY)."""

    fit: HBMMMFit
    panel: ConsumerPanel
    effects: pd.DataFrame


def refresh_stability(previous: Refreshed, current: Refreshed) -> pd.DataFrame:
    """COLUMNS, one row for each effect that either refresh published and the fast path knows (refit_effects.py).

    overlap: of the two published posteriors, see `overlap`. chance_standard_deviation: what the means' difference
    would vary by if data came in as the model says, sqrt(sd_previous^2 - sd_current^2) (Hausman 1978), 0 where the
    current one is not surer. monte_carlo_error: of the difference of the published means, from their effective sizes.
    An effect that one of the refreshes lacks has a reason and no numbers; so has every part that could not be fitted.
    Raises PanelError where the current panel ends before the previous one.
    """
    origin = np.datetime64(previous.panel.period_starts.max())
    if current.panel.period_starts.max() < origin:
        raise PanelError(
            f"the current panel ends with the period {current.panel.period_starts.max()}, before the previous one's "
            f"last, {origin}. Compare with a refresh of an earlier as-of date."
        )
    before = _with_known(previous.panel, current.fit)
    earlier_rows = current.panel.period_starts[current.panel.period_index] <= origin
    later = current.panel.period_starts[current.panel.period_starts > origin]
    cut = panel_subset(current.panel, earlier_rows, later.min() if len(later) else None)
    refits = {
        "previous": _means(previous.fit, previous.panel),
        "remodelled": _means(current.fit, before),
        "revised": _means(current.fit, cut),
        "current": _means(current.fit, current.panel),
    }
    published = _published(previous.effects, current.effects)
    table = published.join(pd.DataFrame(refits))
    found = pd.DataFrame(index=table.index)
    found["overlap"] = overlap(table["mean_previous"], table["sd_previous"], table["mean"], table["sd"])
    found["change_total"] = table["mean"] - table["mean_previous"]
    found["change_new_data"] = table["current"] - table["revised"]
    found["change_revised_data"] = table["revised"] - table["remodelled"]
    found["change_model"] = table["remodelled"] - table["previous"]
    found["change_monte_carlo"] = found["change_total"] - (table["current"] - table["previous"])
    found["chance_standard_deviation"] = np.sqrt(
        np.maximum(table["sd_previous"] ** 2 - table["sd"] ** 2, 0.0)
    )
    found["monte_carlo_error"] = np.sqrt(
        table["sd_previous"] ** 2 / table["ess_previous"] + table["sd"] ** 2 / table["ess"]
    )
    found["reason"] = [_reason(row) for row in table.itertuples()]
    return found.reset_index().reindex(columns=list(COLUMNS))


def overlap(mean_a, sd_a, mean_b, sd_b) -> np.ndarray:
    """Area that two normal densities share, between 0 and 1 (Inman & Bradley 1989); arrays broadcast.

    nan where a mean or sd is not finite or an sd is not above 0.
    """
    mean_a, sd_a, mean_b, sd_b = (
        np.asarray(one, dtype=float) for one in np.broadcast_arrays(mean_a, sd_a, mean_b, sd_b)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        is_known = np.isfinite(mean_a + mean_b) & (sd_a > 0) & (sd_b > 0) & np.isfinite(sd_a + sd_b)
        narrow = np.where(sd_a <= sd_b, sd_a, sd_b)
        wide = np.where(sd_a <= sd_b, sd_b, sd_a)
        distance = np.where(
            sd_a <= sd_b, mean_b - mean_a, mean_a - mean_b
        )  # the wide one's mean, narrow at 0
        gap = wide**2 - narrow**2
        same = gap <= 1e-12 * wide**2
        root = narrow * wide * np.sqrt(distance**2 + gap * 2.0 * np.log(wide / narrow))
        lower, upper = (
            (-distance * narrow**2 + sign * root) / np.where(same, 1.0, gap) for sign in (-1.0, 1.0)
        )
        inside = norm.cdf((upper - distance) / wide) - norm.cdf((lower - distance) / wide)
        outside = norm.cdf(lower / narrow) + norm.sf(upper / narrow)
        equal = 2.0 * norm.cdf(-np.abs(distance) / (2.0 * wide))
        return np.where(is_known, np.where(same, equal, inside + outside), np.nan)


def _with_known(panel: ConsumerPanel, fit: HBMMMFit) -> ConsumerPanel:
    """The panel of the consumers that the fit knows: who was erased or revised away since cannot be refitted."""
    known = of_consumers(panel, fit.consumer_ids)
    return panel if known.consumers_count == panel.consumers_count else known


def _means(fit: HBMMMFit, panel: ConsumerPanel) -> pd.Series:
    statistics = SufficientStatistics.from_panel(panel)
    design = design_like(fit, statistics, fit.config)  # other periods are other columns
    effects = refit_channel_effects(fit, statistics, panel, design=design)
    return effects.set_index(list(KEY))["mean"]


def _published(previous: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    names = {"mean": "mean", "standard_deviation": "sd", "ess": "ess"}
    before, now = (one.set_index(list(KEY))[list(names)].rename(columns=names) for one in (previous, current))
    return now.join(before.add_suffix("_previous"), how="outer")


def _reason(row) -> str | None:
    if not np.isfinite(row.mean_previous):
        return "the previous refresh published no number"
    if not np.isfinite(row.mean):
        return "the current refresh published no number"
    refits = (row.previous, row.remodelled, row.revised, row.current)
    if not np.isfinite(refits).all():
        return "not split: one of the refits has no exposure of the channel, or does not know the effect"
    return None
