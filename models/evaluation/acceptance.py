"""What an estimator must show on worlds with known truth, as tables and as verdicts that are computed.

Errors are of means over worlds: (mean estimate - mean truth) / mean truth, because the truth of one world is small
against its noise. A verdict has three outcomes: passed, failed, or None where nothing in the worlds could decide it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import beta, binom

from models.evaluation.recovery import KEYS, recovery_table

ALL_REAL = "all real channels"
SLOPE_BOUND, CONTRIBUTION_BOUND, SUM_BOUND = 0.15, 0.20, 0.10  # relative
NULL_SHARE_BOUND = 0.01  # of GMV
COVERAGE_LEAST, SIGNIFICANCE = 0.93, 0.05
GAP_ERRORS = 3.0  # standard errors from which the order of two segments must be right
FALSE_ALARM_BOUND = 0.08
WORLDS_LEAST = 20  # fewer worlds decide nothing about means and coverage
MARKETS_LEAST = 30  # fewer markets, over all worlds, decide nothing about market effects


@dataclass(frozen=True)
class Verdict:
    """One bound: what was measured, its Monte-Carlo error (NaN where none), what was asked, whether it holds.

    passed: None where it was not evaluated: too few worlds, no estimate, nothing to decide.
    worlds_lost: worlds in which the method ended in an error, which the value leaves out.
    """

    criterion: str
    subject: str
    value: float
    monte_carlo_error: float
    bound: str
    passed: bool | None
    worlds_lost: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def with_contribution_sums(scores: pd.DataFrame, null_channel: str) -> pd.DataFrame:
    """Scores and, per world and method, the sum of the real channels' contributions (channel_id ALL_REAL).

    A method that has no number for one of them has no sum. The sum has no interval.
    """
    real = scores[(scores["estimand"] == "contribution") & (scores["channel_id"] != null_channel)]
    sums = real.groupby(["world", "seed", "method", "estimand", "exposure_distribution"], as_index=False).agg(
        mean=("mean", lambda values: values.sum(skipna=False)), truth=("truth", "sum"), gmv=("gmv", "first")
    )
    return pd.concat([scores, sums.assign(channel_id=ALL_REAL)], ignore_index=True)


def relative_table(scores: pd.DataFrame) -> pd.DataFrame:
    """`recovery_table` of the estimates that exist, and in relation to truth and to GMV.

    Adds relative_error and relative_monte_carlo_error (NaN where the truth is 0), gmv_share and its Monte-Carlo error
    (mean estimate over mean GMV; for contributions), coverage_p_value (of so few covered worlds if coverage were
    COVERAGE_LEAST).
    """
    found = scores[scores["mean"].notna()]
    table = recovery_table(found)
    gmv = found.groupby(["world", "method", *KEYS])["gmv"].mean().to_numpy()
    truth = table["truth"].where(table["truth"] != 0)
    table["relative_error"] = table["bias"] / truth
    table["relative_monte_carlo_error"] = table["monte_carlo_error"] / truth.abs()
    table["gmv_share"] = (table["truth"] + table["bias"]) / gmv
    table["gmv_share_monte_carlo_error"] = table["monte_carlo_error"] / gmv
    has_interval = table["claimed_sd"].notna()
    table["coverage"] = table["coverage"].where(has_interval)
    covered = (table["coverage"] * table["worlds"]).round()
    p_values = binom.cdf(covered.fillna(0), table["worlds"], COVERAGE_LEAST)
    table["coverage_p_value"] = np.where(has_interval, p_values, np.nan)
    return table


def market_errors(scores: pd.DataFrame) -> pd.DataFrame:
    """Root mean square error of market slopes over markets and worlds: world, method, channel_id, rmse, markets."""
    squared = scores.assign(squared=(scores["mean"] - scores["truth"]) ** 2)
    groups = squared.groupby(["world", "method", "channel_id"])["squared"]
    table = groups.agg(rmse=lambda values: float(np.sqrt(values.mean())), markets="size")
    return table.reset_index()


def segment_orders(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs of segments by channel: those whose true gap exceeds GAP_ERRORS standard errors, and how they were ordered.

    Columns: world, method, channel_id, pairs, decidable, right, wrong, largest_gap (in standard errors).
    """
    errors = pairs["truth_gap"].abs() / pairs["standard_error"]
    decidable = errors > GAP_ERRORS
    agrees = np.sign(pairs["estimated_gap"]) == np.sign(pairs["truth_gap"])
    marked = pairs.assign(
        decidable=decidable, right=decidable & agrees, wrong=decidable & ~agrees, errors=errors
    )
    groups = marked.groupby(["world", "method", "channel_id"])
    return groups.agg(
        pairs=("errors", "size"),
        decidable=("decidable", "sum"),
        right=("right", "sum"),
        wrong=("wrong", "sum"),
        largest_gap=("errors", "max"),
    ).reset_index()


def channel_verdicts(table: pd.DataFrame, *, world: str, method: str, null_channel: str) -> list[Verdict]:
    """The bounds on channels' effects and contributions, on one kind of world; table: `relative_table` with sums."""
    chosen = table[(table["world"] == world) & (table["method"] == method)]
    rows = chosen[chosen["exposure_distribution"] == "panel_rows"].set_index(["estimand", "channel_id"])
    channels = rows.loc["slope"].index.tolist()
    real = [c for c in channels if c != null_channel]
    found = []
    for channel in real:
        row = rows.loc[("slope", channel)]
        found.append(_relative("effect of one more exposure, mean error", channel, row, SLOPE_BOUND))
    for channel in channels:
        found.append(_coverage(channel, rows.loc[("slope", channel)]))
    for channel in real:
        row = rows.loc[("contribution", channel)]
        found.append(_relative("contribution, mean error", channel, row, CONTRIBUTION_BOUND))
    total = rows.loc[("contribution", ALL_REAL)]
    found.append(_relative("contributions, mean error of their sum", ALL_REAL, total, SUM_BOUND))
    row = rows.loc[("contribution", null_channel)]
    share, error = float(row["gmv_share"]), float(row["gmv_share_monte_carlo_error"])
    passed = _enough(row, abs(share) <= NULL_SHARE_BOUND)
    bound = f"within {NULL_SHARE_BOUND:.0%}"
    found.append(Verdict("contribution in % of GMV, truth 0", null_channel, share, error, bound, passed))
    return found


def _enough(row: pd.Series, holds: bool) -> bool | None:
    return bool(holds) if row["worlds"] >= WORLDS_LEAST else None


def _relative(criterion: str, subject: str, row: pd.Series, bound: float) -> Verdict:
    value, error = float(row["relative_error"]), float(row["relative_monte_carlo_error"])
    return Verdict(criterion, subject, value, error, f"within {bound:.0%}", _enough(row, abs(value) <= bound))


def _coverage(channel: str, row: pd.Series) -> Verdict:
    value = float(row["coverage"])
    error = float(np.sqrt(value * (1 - value) / row["worlds"]))
    bound = f"not significantly below {COVERAGE_LEAST:.0%} (p {row['coverage_p_value']:.2g}, at least {SIGNIFICANCE:g})"
    passed = _enough(row, row["coverage_p_value"] >= SIGNIFICANCE)
    return Verdict("coverage of 95 % intervals", channel, value, error, bound, passed)


def order_verdict(orders: pd.DataFrame, *, world: str, method: str) -> Verdict:
    """Whether every decidable pair of segments is in the right order; orders: of `segment_orders`."""
    chosen = orders[(orders["world"] == world) & (orders["method"] == method)]
    decidable, right = int(chosen["decidable"].sum()), int(chosen["right"].sum())
    value = right / decidable if decidable else np.nan
    bound = f"right wherever the true gap exceeds {GAP_ERRORS:g} standard errors"
    subject = f"{decidable} of {int(chosen['pairs'].sum())} pairs"
    return Verdict(
        "order of segments", subject, value, np.nan, bound, right == decidable if decidable else None
    )


def market_verdicts(
    scores: pd.DataFrame, *, world: str, method: str, null_channel: str, rivals: tuple[str, ...]
) -> list[Verdict]:
    """Whether market effects are nearer the truth than those of every rival method; scores: rows of markets.

    The bound names each rival's root mean square error and how far the method's squared error is from it, in percent
    of it, +- the Monte-Carlo error of that difference (paired by world).
    """
    chosen = scores[
        (scores["world"] == world) & (scores["channel_id"] != null_channel)
    ]  # its markets are all at zero
    squared = chosen.assign(squared=(chosen["mean"] - chosen["truth"]) ** 2)
    found = []
    for channel, part in squared.groupby("channel_id"):
        by_method = part.groupby("method")["squared"].agg(["mean", "size"]).reindex([method, *rivals])
        by_world = part.pivot_table(index="seed", columns="method", values="squared").reindex(
            columns=[method, *rivals]
        )
        texts = []
        for name in rivals:
            apart = by_world[method] - by_world[name]
            level, error = by_method.loc[name, "mean"], apart.std() / np.sqrt(apart.notna().sum())
            texts.append(
                f"{name} {np.sqrt(level):.3g} ({100 * apart.mean() / level:+.1f} +- {100 * error / level:.1f} %)"
            )
        roots = np.sqrt(by_method["mean"])
        known = bool(roots.notna().all()) and by_method.loc[method, "size"] >= MARKETS_LEAST
        passed = bool(roots[method] < roots[list(rivals)].min()) if known else None
        criterion = "market effects, root mean square error (squared error against each rival's)"
        found.append(
            Verdict(
                criterion, str(channel), float(roots[method]), np.nan, "below " + ", ".join(texts), passed
            )
        )
    return found


def upper_limit(events: int, trials: int, level: float = 0.95) -> float:
    """One-sided Clopper-Pearson upper limit of a probability: with it, so few events have probability 1 - level.

    Raises
    ------
    ValueError : events not between 0 and trials, or no trial.
    """
    if not 0 <= events <= trials or trials < 1:
        raise ValueError(f"{events} events in {trials} trials; give 1 or more trials and 0 to all events.")
    return 1.0 if events == trials else float(beta.ppf(level, events + 1, trials - events))


def false_alarms(scores: pd.DataFrame, channel_id: str) -> pd.DataFrame:
    """How often intervals of a channel without effect exclude zero, by world kind, method and estimand.

    Columns: world, method, KEYS, worlds, alarms, rate, upper_limit (one-sided 95 %), bias, bias_z, mean_width.
    Estimates that do not exist raise no alarm and are not among the worlds.
    """
    null = scores[(scores["channel_id"] == channel_id) & scores["interval_lower"].notna()]
    excluded = (null["interval_lower"] > 0) | (null["interval_upper"] < 0)
    keys = ["world", "method", *KEYS]
    counts = null.assign(alarm=excluded).groupby(keys)["alarm"].agg(alarms="sum").reset_index()
    table = counts.merge(recovery_table(null), on=keys)
    table["rate"] = table["alarms"] / table["worlds"]
    table["upper_limit"] = [
        upper_limit(int(a), int(w)) for a, w in zip(table["alarms"], table["worlds"], strict=True)
    ]
    return table[[*keys, "worlds", "alarms", "rate", "upper_limit", "bias", "bias_z", "mean_width"]]
