"""Were known effects found? Differences with minus without an injection, and estimates where the true level is zero.

Estimates come as frames indexed by KEYS with the columns mean and sd.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import bdtrc, ndtri
from scipy.stats import t as student

KEYS = ["method", "segment", "channel_id", "estimand"]
LEVEL = 0.95
EVERYBODY = "all"


def judge_differences(
    without: pd.DataFrame, injected: Sequence[pd.DataFrame], truth: pd.Series
) -> pd.DataFrame:
    """One row for each of KEYS: the mean difference of injected estimates and the one without, against the truth.

    truth: what was injected, indexed by KEYS[1:].

    Columns
    -------
    difference, truth
    error, mean_error : standard deviation of a difference over injections, and that over the root of their number
    published_error : sd of the estimate without injection, what an analyst reports
    within_error, within_mean_error : the truth lies in the 95 % interval of one difference, and of their mean. The
        second is far stricter: with enough injections every approximation shows
    within_published_error : so does the 95 % interval that the published error gives, about the mean difference
    bias_share : (difference - truth) / truth, NaN where nothing was injected; bias_in_published_errors

    Raises ValueError for fewer than two injections, or where the truth of an estimate is not given.
    """
    if len(injected) < 2:
        raise ValueError(f"{len(injected)} injections show no error; give 2 or more, 20 to say something.")
    differences = pd.concat([one["mean"] - without["mean"] for one in injected], axis=1)
    table = pd.DataFrame(
        {
            "difference": differences.mean(axis=1),
            "error": differences.std(axis=1, ddof=1),
            "published_error": without["sd"],
        }
    ).reset_index()
    table = table.join(truth.rename("truth"), on=KEYS[1:])
    if table["truth"].isna().any():
        unknown = table.loc[table["truth"].isna(), KEYS].iloc[0].tolist()
        raise ValueError(
            f"what was injected is not given for {unknown}; truth needs every key of the estimates."
        )
    table["mean_error"] = table["error"] / np.sqrt(len(injected))
    reach = float(student.ppf(0.5 + LEVEL / 2, len(injected) - 1))
    bias = table["difference"] - table["truth"]
    table["within_error"] = bias.abs() <= reach * table["error"]
    table["within_mean_error"] = bias.abs() <= reach * table["mean_error"]
    table["bias_share"] = (bias / table["truth"]).where(table["truth"] > 0)
    table["bias_in_published_errors"] = bias / table["published_error"]
    table["within_published_error"] = table["bias_in_published_errors"].abs() <= ndtri(0.5 + LEVEL / 2)
    return table


def count_recovered(cells: pd.DataFrame) -> pd.DataFrame:
    """Of judge_differences: rows by method and level (channels: everybody; groups: the other segments) with counts."""
    level = np.where(cells["segment"] == EVERYBODY, "channels", "groups")
    absolute = cells.assign(
        level=level,
        bias_share=cells["bias_share"].abs(),
        bias_in_published_errors=cells["bias_in_published_errors"].abs(),
    )
    grouped = absolute.groupby(["method", "level"], sort=False)
    return grouped.agg(
        cells=("channel_id", "size"),
        within_error=("within_error", "sum"),
        within_mean_error=("within_mean_error", "sum"),
        within_published_error=("within_published_error", "sum"),
        median_bias_share=("bias_share", "median"),
        largest_bias_share=("bias_share", "max"),
        largest_bias_in_published_errors=("bias_in_published_errors", "max"),
    ).reset_index()


def judge_zero_levels(estimates: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row for each of KEYS, of estimates on replicates whose true level is zero.

    Columns
    -------
    replicates, level (mean estimate), error (its standard deviation over replicates), published_error (mean sd)
    significant, share_significant : replicates whose 95 % interval excludes zero
    p_value : probability of at least so many, were it 5 %; a guide where replicates share one outcome
    """
    draws = pd.concat([one.assign(replicate=i) for i, one in enumerate(estimates)])
    draws["significant"] = draws["mean"].abs() > ndtri(0.5 + LEVEL / 2) * draws["sd"]
    table = (
        draws.groupby(KEYS, sort=False)
        .agg(
            replicates=("replicate", "size"),
            level=("mean", "mean"),
            error=("mean", "std"),
            published_error=("sd", "mean"),
            significant=("significant", "sum"),
        )
        .reset_index()
    )
    return with_rates(table)


def with_rates(table: pd.DataFrame) -> pd.DataFrame:
    """Adds share_significant and p_value to counts `significant` of `replicates`."""
    hits, count = table["significant"].astype(int), table["replicates"].astype(int)
    tail = [float(bdtrc(h - 1, n, 1 - LEVEL)) if h else 1.0 for h, n in zip(hits, count, strict=True)]
    return table.assign(share_significant=hits / count, p_value=tail)
