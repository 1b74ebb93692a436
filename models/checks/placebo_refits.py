"""The paper's placebo (Ni et al. 2023, Table 8), with what it lacks: the size of the test and the effect it could see.

Exposure histories are exchanged as a whole between consumers who could as well have had each other's:
    reassignment    same market and same stratum of the mean predicted exposure, the propensity e(W)
    history swap    same market and same pre-period spend stratum (placebo.look_alike_groups)
and the model is refitted. True effects are then zero while purchases, and what targeting did between groups, stay as
they are. Of R replicates and the estimate t on the actual exposures,
    p = (1 + #{|placebo| >= |t|}) / (R + 1)
(Phipson and Smyth 2010). A small p says that chance exposure of this pattern does not give such an estimate; it does
not clear the effect of bias, which only lead placebos can show. Shuffled rows are not offered (placebo.py).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import ndtri
from scipy.stats import beta

from models.checks.placebo import (
    SIGNIFICANCE_LEVEL,
    Estimator,
    look_alike_groups,
    swap_histories,
    swappable_share,
)
from models.effects.propensity import fit_propensity
from models.errors import ConvergenceError, OverlapError, PanelError
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.refit_effects import refit_channel_effects
from models.hbmmm.statistics import SufficientStatistics
from models.panel import ConsumerPanel

REASSIGNMENT, HISTORY_SWAP = "reassignment_hbmmm", "history_swap_hbmmm"
KINDS = (REASSIGNMENT, HISTORY_SWAP)
REPLICATES_LEAST = 200
POWER = 0.8
STRATA_COUNT = 4
ESTIMANDS = {"slope": "panel_rows", "att_exposed": "exposed_rows"}
REPLICATE_COLUMNS = (
    "replicate",
    "channel_id",
    "estimand",
    "mean",
    "standard_deviation",
    "interval_lower",
    "interval_upper",
)
COLUMNS = (
    "placebo_kind",
    "channel_id",
    "estimand",
    "actual_estimate",
    "estimate",
    "standard_error",
    "p_value",
    "false_positive_rate",
    "false_positive_rate_lower",
    "false_positive_rate_upper",
    "smallest_detectable_effect",
    "replicates_count",
    "passed",
    "reason",
)
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class RefitEstimator:
    """The HBMMM on the fast path, as an estimator of a panel: channel effects of a refit of `fit`."""

    fit: HBMMMFit

    def __call__(self, panel: ConsumerPanel) -> pd.DataFrame:
        """Channel rows of refit_channel_effects on this panel's rows."""
        return refit_channel_effects(self.fit, SufficientStatistics.from_panel(panel), panel)


def reassignment_groups(panel: ConsumerPanel, strata_count: int = STRATA_COUNT) -> np.ndarray:
    """(N,) group of each consumer: same home market, same quantile there of the mean predicted exposure.

    Predicted from characteristics alone (the paper's e(W)): the probability of an exposure in a period, averaged over
    the consumer's rows and the channels. Quantiles are taken within the market, and are fewer where it has fewer than
    two consumers for each. Raises OverlapError where no channel has both exposed and unexposed rows.
    """
    scores, reasons = [], []
    for channel in panel.channel_ids.tolist():
        try:
            scores.append(fit_propensity(panel, channel, conditioning="characteristics").propensity_raw)
        except OverlapError as error:
            reasons.append(str(error))
    if not scores:
        raise OverlapError("no channel has a propensity to stratify on: " + "; ".join(reasons))
    expected = panel.consumer_means(np.mean(scores, axis=0))
    market = panel.consumer_market_index
    order = np.lexsort((np.arange(len(expected)), expected, market))
    sizes = np.bincount(market)
    strata = np.minimum(strata_count, np.maximum(sizes // 2, 1))[market]
    rank = np.empty(len(expected), dtype=np.int64)
    rank[order] = np.arange(len(expected)) - np.concatenate([[0], np.cumsum(sizes)[:-1]])[market[order]]
    return market * strata_count + rank * strata // sizes[market]


def placebo_groups(panel: ConsumerPanel, kind: str) -> np.ndarray:
    """(N,) groups within which a kind of placebo exchanges histories. Raises ValueError for an unknown kind."""
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no placebo by refits; known are {', '.join(KINDS)}.")
    return look_alike_groups(panel) if kind == HISTORY_SWAP else reassignment_groups(panel)


def placebo_replicates(
    panel: ConsumerPanel,
    estimator: Estimator,
    groups: np.ndarray,
    replicates_count: int,
    *,
    seed: tuple[int, ...],
    processes_count: int = 1,
    known: pd.DataFrame | None = None,
    save: Callable[[pd.DataFrame], object] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """REPLICATE_COLUMNS: estimates on the actual exposures (replicate 0) and on 1 to replicates_count exchanged ones.

    seed: replicate r draws from default_rng([*seed, r]), so that any of them can be repeated alone, in any order, and
    more can be added later. known: replicates done before, which are kept and not repeated. save: called with all
    replicates so far after each batch, so that a killed run loses one batch. A refit that fails leaves one row without
    numbers, and one exchange more is drawn for it, up to a tenth of replicates_count more.
    processes_count above 1 needs an estimator that can be sent to a process.
    """
    tell = progress or (lambda text, share: None)
    done = pd.DataFrame(columns=list(REPLICATE_COLUMNS)) if known is None else known
    missing = _missing(done, replicates_count)
    run = partial(_replicate, panel, estimator, groups, seed)
    batch = max(4 * processes_count, 8)
    if processes_count > 1 and len(missing) > 1:
        # spawn: forking a process that holds BLAS threads can deadlock (conventions.md T10)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(processes_count, context, _start_worker, (run,))
    else:
        pool = None
    try:
        while missing:
            part, wanted = missing[:batch], len(missing)
            found = list(pool.map(_in_worker, part)) if pool else [run(r) for r in part]
            done = pd.concat([d for d in (done, *found) if len(d)], ignore_index=True)
            done = done.sort_values(["replicate", "channel_id", "estimand"], kind="stable", ignore_index=True)
            if save:
                save(done)
            missing = _missing(done, replicates_count)
            share = 1.0 - (wanted - len(part)) / (replicates_count + 1)
            tell(f"replicate {part[-1]} of {replicates_count}", share if missing else 1.0)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)
    return done


def _missing(done: pd.DataFrame, replicates_count: int) -> list[int]:
    """Numbers of the replicates still to be run, one more for each that failed, within a tenth more in all."""
    known = set(done["replicate"].tolist())
    failed = known - set(done.loc[done["mean"].notna(), "replicate"].tolist())
    last = replicates_count + min(len(failed), replicates_count // 10)
    return sorted(set(range(last + 1)) - known)


def placebo_summary(
    replicates: pd.DataFrame,
    kind: str,
    *,
    swappable: float = 1.0,
    replicates_least: int = REPLICATES_LEAST,
    significance_level: float = SIGNIFICANCE_LEVEL,
) -> pd.DataFrame:
    """COLUMNS, one row per channel and estimand of replicate 0.

    estimate, standard_error: mean and standard deviation of the placebo estimates. p_value: see the module.
    false_positive_rate: share of replicates significant at that level by their own error, with its Clopper-Pearson
    interval; all replicates share one outcome, so that interval is a guide. smallest_detectable_effect: what 80 % of
    such data would show at the significance level, (z + z_power) standard errors, in the estimand's unit. passed: False
    where the lower end of the rate's interval is above the significance level, None (with a reason) with fewer than
    replicates_least replicates or where under half of the consumers have anybody to exchange with.
    """
    actual = replicates[replicates["replicate"] == 0]
    placebo = replicates[(replicates["replicate"] > 0) & replicates["mean"].notna()]
    rows = []
    for one in actual.itertuples():
        chosen = (placebo["channel_id"] == one.channel_id) & (placebo["estimand"] == one.estimand)
        drawn = placebo[chosen]
        row = {"placebo_kind": kind, "channel_id": one.channel_id, "estimand": one.estimand}
        row |= {"actual_estimate": one.mean, "replicates_count": len(drawn)}
        reason = _reason(one.mean, len(drawn), replicates_least, swappable)
        if reason:
            rows.append(row | {"passed": None, "reason": f"not evaluated: {reason}"})
            continue
        reach = ndtri(1 - significance_level / 2) * drawn["standard_deviation"]
        hits = int((drawn["mean"].abs() > reach).sum())
        lower, upper = clopper_pearson(hits, len(drawn))
        error = float(drawn["mean"].std(ddof=1))
        extreme = int((drawn["mean"].abs() >= abs(one.mean)).sum())
        passed = lower <= significance_level
        said = (
            f"{hits} of {len(drawn)} exchanges have a significant effect, {significance_level:.0%} expected"
        )
        row |= {
            "estimate": float(drawn["mean"].mean()),
            "standard_error": error,
            "p_value": (1 + extreme) / (len(drawn) + 1),
            "false_positive_rate": hits / len(drawn),
            "false_positive_rate_lower": lower,
            "false_positive_rate_upper": upper,
            "smallest_detectable_effect": float((ndtri(1 - significance_level / 2) + ndtri(POWER)) * error),
            "passed": passed,
            "reason": None if passed else said,
        }
        rows.append(row)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in ("passed", "reason"):  # None stays None
        frame[name] = pd.Series([row[name] for row in rows], dtype=object)
    return frame


def placebo_by_refits(
    fit: HBMMMFit,
    panel: ConsumerPanel,
    kind: str,
    replicates_count: int = REPLICATES_LEAST,
    *,
    replicates_least: int = REPLICATES_LEAST,
    **options: object,
) -> pd.DataFrame:
    """Table 8 of one kind of placebo (KINDS): placebo_summary of placebo_replicates of the refitted model.

    options: processes_count, known, save and progress of placebo_replicates; the seed is the fit's.
    """
    groups = placebo_groups(panel, kind)
    seed = (fit.config.seed, KINDS.index(kind))
    estimator = RefitEstimator(fit)
    replicates = placebo_replicates(panel, estimator, groups, replicates_count, seed=seed, **options)
    return placebo_summary(
        replicates, kind, swappable=swappable_share(groups), replicates_least=replicates_least
    )


def clopper_pearson(hits: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share, both ends."""
    tail = (1 - level) / 2
    lower = float(beta.ppf(tail, hits, count - hits + 1)) if hits else 0.0
    upper = float(beta.ppf(1 - tail, hits + 1, count - hits)) if hits < count else 1.0
    return lower, upper


def _reason(actual: float, count: int, least: int, swappable: float) -> str | None:
    if not np.isfinite(actual):
        return "the channel has no effect on its actual exposures"
    if swappable < 0.5:
        return f"{swappable:.0%} of consumers have anybody to exchange histories with"
    return f"{count} replicates, {least} needed (run the robustness job)" if count < least else None


def _replicate(
    panel: ConsumerPanel, estimator: Estimator, groups: np.ndarray, seed: tuple[int, ...], replicate: int
) -> pd.DataFrame:
    rng = np.random.default_rng([*seed, replicate])
    given = panel if replicate == 0 else swap_histories(panel, groups, rng)
    try:
        effects = estimator(given)
    except (PanelError, ConvergenceError, np.linalg.LinAlgError):
        if replicate == 0:
            raise
        return pd.DataFrame({"replicate": [replicate]}).reindex(columns=list(REPLICATE_COLUMNS))
    pairs = zip(effects["estimand"], effects["exposure_distribution"], strict=True)
    chosen = effects[[ESTIMANDS.get(e) == d for e, d in pairs]]
    return chosen.assign(replicate=replicate)[list(REPLICATE_COLUMNS)]


_run_in_worker: Callable[[int], pd.DataFrame] | None = None


def _start_worker(run: Callable[[int], pd.DataFrame]) -> None:
    """Keep panel and estimator in the process: they are sent once, not with every replicate."""
    from threadpoolctl import threadpool_limits

    global _run_in_worker
    _run_in_worker = run
    threadpool_limits(limits=1)


def _in_worker(replicate: int) -> pd.DataFrame:
    assert _run_in_worker is not None
    return _run_in_worker(replicate)
