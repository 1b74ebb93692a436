"""Robustness suite (Ni et al. 2023, section 4.5 and Figure 6): the channels' effects under other specifications.

Refits (normal approximation, one completed data set) are compared with a refit of the unchanged model, the row of kind
"baseline". Rows of kind "prior_reweighted" come from the full fit's own draws (reweighting.py) and are compared with
these, the row of kind "posterior". A specification that cannot be run or fails keeps its rows: without numbers, with
the reason. What this shows is stability, not truth: a bias that all specifications share passes every one of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from models.checks.reweighting import K_HAT_MOST, reweight
from models.checks.specifications import (
    CORRELATION_PRIOR,
    Specification,
    alternative_priors,
    specifications,
)
from models.errors import ConvergenceError, PanelError
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.problem import build_problem
from models.hbmmm.refit_effects import (
    ChannelWeights,
    channel_draws,
    effects_table,
    error_ratios,
    refit_channel_effects,
)
from models.hbmmm.statistics import SufficientStatistics
from models.panel import ConsumerPanel

Progress = Callable[[str, float], None]
POSTERIOR, REWEIGHTED = "posterior", "prior_reweighted"
ESTIMANDS = {
    "slope": "panel_rows",
    "att_exposed": "exposed_rows",
}  # per exposure, per exposed consumer-period
COLUMNS = (
    "specification_kind",
    "specification",
    "channel_id",
    "estimand",
    "mean",
    "standard_deviation",
    "interval_lower",
    "interval_upper",
    "interval_level",
    "unit",
    "difference",
    "chance_standard_deviation",
    "sign_holds",
    "order_holds",
    "interval_holds_baseline",
    "k_hat",
    "reason",
)


def robustness_checks(
    fit: HBMMMFit,
    panel: ConsumerPanel,
    *,
    padded_panel: ConsumerPanel | None = None,
    interactions: tuple[tuple[str, str], ...] | None = None,
    markets_left_out: int = 3,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """COLUMNS, one row per specification, channel and estimand (ESTIMANDS), baseline first.

    padded_panel: the panel with the rows put back that end for want of later activity (design section 3).
    interactions: pairs of characteristics to multiply; None takes the three strongest. markets_left_out: how many of
    the largest markets are left out, one at a time.

    difference: mean less that of the baseline (of the posterior for reweighted rows). chance_standard_deviation: for
    specifications on a part of the rows, what the difference would vary by if the model were right,
    sqrt(sd^2 - sd_baseline^2) (Hausman 1978; a guide, since priors weigh more on a part). sign_holds: same sign as
    the baseline. order_holds: same rank among the channels that both have. interval_holds_baseline: the baseline's
    mean lies in the interval. All three are None where nothing was computed.

    Raises ConvergenceError or PanelError if not even the baseline can be refitted.
    """
    tell = progress or (lambda text, share: None)
    chosen = specifications(
        fit,
        panel,
        padded_panel=padded_panel,
        interactions=interactions,
        markets_left_out=markets_left_out,
    )
    parts: list[pd.DataFrame] = []
    for i, one in enumerate(chosen):
        tell(f"{one.kind}: {one.name}", 0.9 * i / len(chosen))
        parts.append(_run(fit, one, parts[0] if parts else None))
    tell("posterior draws under other priors", 0.9)
    parts.append(_reweighted(fit, panel))
    table = pd.concat(parts, ignore_index=True)
    tell("done", 1.0)
    return table.reindex(columns=list(COLUMNS))


def _run(fit: HBMMMFit, one: Specification, baseline: pd.DataFrame | None) -> pd.DataFrame:
    """Rows of one specification, compared with the baseline's (None: this is it)."""
    try:
        given = one.build()
        effects = refit_channel_effects(
            fit,
            given.statistics,
            given.panel,
            config=given.config,
            design=given.design,
            completed=given.completed,
        )
        rows = _chosen(effects)
    except (PanelError, ConvergenceError, np.linalg.LinAlgError) as error:
        if baseline is None:
            raise
        rows = _empty(baseline, f"not evaluated: {error}")
    rows = rows.assign(specification_kind=one.kind, specification=one.name)
    return compare(rows, rows if baseline is None else baseline, is_part=one.is_part)


def compare(rows: pd.DataFrame, baseline: pd.DataFrame, *, is_part: bool = False) -> pd.DataFrame:
    """Rows with difference, chance_standard_deviation, sign_holds, order_holds and interval_holds_baseline."""
    key = ["channel_id", "estimand"]
    base = baseline.set_index(key)[["mean", "standard_deviation"]].reindex(
        pd.MultiIndex.from_frame(rows[key])
    )
    out = rows.reset_index(drop=True).copy()
    base_mean, base_sd = base["mean"].to_numpy(), base["standard_deviation"].to_numpy()
    known = np.isfinite(out["mean"].to_numpy(dtype=float)) & np.isfinite(base_mean)
    out["difference"] = out["mean"] - base_mean
    chance = np.sqrt(np.maximum(out["standard_deviation"] ** 2 - base_sd**2, 0.0))
    out["chance_standard_deviation"] = chance if is_part else np.nan
    rank = out.loc[known].groupby("estimand")["mean"].rank()
    base_rank = pd.Series(base_mean, out.index)[known].groupby(out.loc[known, "estimand"]).rank()
    holds = {
        "sign_holds": np.sign(out["mean"]) == np.sign(base_mean),
        "order_holds": (rank == base_rank).reindex(out.index, fill_value=False),
        "interval_holds_baseline": (out["interval_lower"] <= base_mean)
        & (base_mean <= out["interval_upper"]),
    }
    for name, values in holds.items():
        answers = [bool(v) if k else None for v, k in zip(values, known, strict=True)]
        out[name] = pd.Series(answers, index=out.index, dtype=object)
    return out


def _chosen(effects: pd.DataFrame) -> pd.DataFrame:
    keep = [
        ESTIMANDS.get(e) == d
        for e, d in zip(effects["estimand"], effects["exposure_distribution"], strict=True)
    ]
    return effects[keep].drop(columns=["exposure_distribution", "error_ratio"]).reset_index(drop=True)


def _empty(like: pd.DataFrame, reason: str) -> pd.DataFrame:
    """The channels and estimands of other rows, without numbers."""
    rows = like[["channel_id", "estimand", "interval_level", "unit"]].copy()
    for name in ("mean", "standard_deviation", "interval_lower", "interval_upper"):
        rows[name] = np.nan
    return rows.assign(reason=reason)


def _reweighted(fit: HBMMMFit, panel: ConsumerPanel) -> pd.DataFrame:
    """The full fit's own effects, and what they become under other priors; unreliable ones without numbers."""
    statistics = SufficientStatistics.from_panel(panel)
    weights = ChannelWeights.of(fit.design, panel, fit.consumer_ids)
    draws, ratios = [], []
    for m, completed in enumerate(fit.completed):
        problem = build_problem(statistics, fit.design, completed)
        rng = np.random.default_rng([fit.config.seed, m + 1, 5])
        draws.append(channel_draws(problem, fit.kept_draws(m), weights, rng))
        if m == 0:
            mean = fit.draws[0].mean(axis=(0, 1))
            ratios = error_ratios(statistics, problem, mean, fit.prior_sd, weights, fit.config)
    values = np.concatenate(draws)

    def rows(probability: np.ndarray, kind: str, name: str) -> pd.DataFrame:
        numbers = weighted_summary(values, probability, ratios, fit.config.interval_level)
        table = _chosen(effects_table(numbers, weights, fit.design, fit.config))
        return table.assign(specification_kind=kind, specification=name)

    base = rows(np.full(len(values), 1.0 / len(values)), POSTERIOR, "draws of the full fit")
    parts = [compare(base, base).assign(k_hat=fit.k_hat)]
    for name, config in alternative_priors(fit.config).items():
        if name.startswith(CORRELATION_PRIOR) and not fit.design.has_correlated_slopes:
            continue  # its refit row says why
        if name.startswith("market_") and not fit.design.has_market_level:
            continue
        result = reweight(fit, config)
        if result.is_reliable:
            table = rows(result.weights.ravel(), REWEIGHTED, name)
        else:
            reason = f"not evaluated: k-hat {result.k_hat:.2f} is not below {K_HAT_MOST}; see the refit of kind prior"
            table = _empty(base, reason).assign(specification_kind=REWEIGHTED, specification=name)
        parts.append(compare(table, base).assign(k_hat=result.k_hat))
    return pd.concat(parts, ignore_index=True)


def weighted_summary(
    values: np.ndarray, probability: np.ndarray, ratio: np.ndarray, level: float
) -> dict[str, np.ndarray]:
    """Mean, sd and central interval of draws (S, q) with weights (S,), stretched about the mean by max(ratio, 1)."""
    mean = probability @ values
    stretched = mean + (values - mean) * np.fmax(ratio, 1.0)
    ends = [(1 - level) / 2, (1 + level) / 2]
    order = np.argsort(stretched, axis=0, kind="stable")
    bounds = []
    for q in range(values.shape[1]):
        share = probability[order[:, q]]
        bounds.append(np.interp(ends, np.cumsum(share) - share / 2, stretched[order[:, q], q]))
    lower, upper = np.reshape(bounds, (-1, 2)).T
    sd = np.sqrt(probability @ (stretched - mean) ** 2)
    return {"mean": mean, "standard_deviation": sd, "interval_lower": lower, "interval_upper": upper}
