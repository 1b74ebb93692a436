"""Checks of a fit: do the parts add up, is the baseline sane, did the data speak, are returns plausible?

A check that cannot be made is not evaluated, which is no pass.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.checks.base import CheckResult
from models.response.contributions import baseline, coefficients, contributions
from models.response.fit import ResponseFit
from models.response.priors import EffectPrior, LogNormal
from models.transforms.carryover_kernels import KERNELS, carry_over
from models.transforms.saturation import saturate

IDENTITY_MOST = 1e-8  # of a market's mean GMV
TABLES_MOST = 1e-6
BASELINE_NEGATIVE_MOST = 0.2
LEARNED_LEAST, SHIFT_LEAST = 0.1, 0.5
IDENTITY_DRAWS = 10


def expected_totals(fit: ResponseFit) -> tuple[np.ndarray, np.ndarray]:
    """(K,) expected GMV, and (K,) baseline, over the recorded market-periods."""
    recorded = fit.panel.is_observed
    base = np.array([np.where(recorded, baseline(fit, k), 0.0).sum() for k in range(len(fit.draws))])
    brought = np.array([np.where(recorded[..., None], one, 0.0).sum() for one in contributions(fit)])
    return base + brought, base


def check_contributions(fit: ResponseFit, periods: pd.DataFrame, effects: pd.DataFrame) -> CheckResult:
    """Check `contributions_add_up`, by two roads.

    Draw by draw, contributions and baseline against E[GMV] put together from the reference transforms (not the code the
    fit used); and the published rows by period against the published contribution of each channel.
    periods : of contribution_periods; effects : channel rows
    """
    draws = np.unique(np.linspace(0, len(fit.draws) - 1, IDENTITY_DRAWS).astype(int))
    size = np.array(fit.scaling.kpi_mean)[:, None]
    worst = 0.0
    for k in draws:
        (one,) = contributions(fit, range(k, k + 1))
        gap = np.abs(one.sum(axis=2) + baseline(fit, k) - _expected(fit, k)) / size
        worst = max(worst, float(gap.max()))
    by_channel = periods[periods["component"].eq("channel") & periods["market_id"].isna()]
    summed = by_channel.groupby("channel_id")["mean"].sum()
    published = effects[effects["estimand"].eq("contribution") & effects["mean"].notna()]
    published = published.set_index("channel_id")["mean"].reindex(summed.index)
    scale = float(np.nansum(fit.panel.kpi))
    between = float(np.max(np.abs((summed - published).to_numpy(dtype=float)) / scale))
    passed = bool(worst <= IDENTITY_MOST and between <= TABLES_MOST)
    known = np.isfinite(worst) and np.isfinite(between)
    text = (
        f"contributions and baseline differ from expected GMV by {worst:.1e} of a market's mean at most (limit "
        f"{IDENTITY_MOST:g}), rows by period from those by channel by {between:.1e} of all GMV (limit {TABLES_MOST:g})"
    )
    return CheckResult("contributions_add_up", passed if known else None, text, worst, IDENTITY_MOST)


def check_baseline(fit: ResponseFit, deviation_most: float) -> CheckResult:
    """Check `baseline_is_sane`: expected GMV is near the observed, and the baseline is not negative.

    deviation_most : of expected from observed GMV, as a share
    """
    expected, base = expected_totals(fit)
    observed = float(np.nansum(fit.panel.kpi))
    deviation = abs(float(expected.mean()) - observed) / abs(observed) if observed else float("nan")
    negative = float((base < 0).mean())
    share = float(base.mean() / expected.mean())
    passed = None
    if np.isfinite([deviation, negative, share]).all():
        passed = bool(deviation <= deviation_most and negative <= BASELINE_NEGATIVE_MOST)
    text = (
        f"expected GMV differs from observed by {deviation:.2%} (limit {deviation_most:.0%}); the baseline is "
        f"{share:.0%} of it, and negative with probability {negative:.2f} (limit {BASELINE_NEGATIVE_MOST:g})"
    )
    return CheckResult("baseline_is_sane", passed, text, negative, BASELINE_NEGATIVE_MOST)


def check_prior_shift(fit: ResponseFit) -> CheckResult:
    """Check `data_moved_priors`: of every channel's effect, did the data narrow the prior, or move it?

    learned_share is 1 - (posterior sd / prior sd)^2, shift the distance of means in prior sds, of the logarithm where
    the sign is fixed. Below .1 and .5 the prior speaks, not the data.
    """
    rows = []
    for c, channel in enumerate(fit.scaling.channel_ids):
        mean, sd = _prior_moments(fit.effects[c])
        draws = fit.draws.mean_effect[:, c]
        draws = np.log(draws) if fit.effects[c].is_positive else draws
        learned = 1.0 - (float(draws.std(ddof=1)) / sd) ** 2
        shift = abs(float(draws.mean()) - mean) / sd
        known = bool(np.isfinite([learned, shift]).all())
        rows.append((channel, fit.effects[c].kind, learned, shift, _moved(learned, shift) if known else None))
    table = pd.DataFrame(rows, columns=["channel_id", "effect", "learned_share", "shift", "passed"])
    unknown = table["passed"].isna().any()
    silent = table.loc[table["passed"].eq(False), "channel_id"].tolist()
    passed = False if silent else None if unknown else True
    text = (
        f"the prior decides the effect of {', '.join(silent)}: the data hardly moved it"
        if silent
        else "not every effect could be compared with its prior"
        if unknown
        else "the data moved or narrowed the prior of every channel's effect"
    )
    return CheckResult(
        "data_moved_priors", passed, text, float(table["learned_share"].min()), LEARNED_LEAST, table
    )


def check_returns(fit: ResponseFit) -> CheckResult:
    """Check `roi_is_plausible`: no channel's mean ROI lies in the outer hundredth of its prior, on either side.

    Where the prior is of another kind than ROI (no spend, or amounts that ROI priors do not fit) there is nothing to
    hold it against: not evaluated.
    """
    rows = []
    for c, channel in enumerate(fit.scaling.channel_ids):
        effect, mean = fit.effects[c], float(fit.draws.mean_effect[:, c].mean())
        if effect.kind != "roi":
            rows.append((channel, np.nan, np.nan, np.nan, None))
            continue
        lower, upper = _prior_quantiles(effect)
        rows.append((channel, mean, lower, upper, bool(lower <= mean <= upper)))
    table = pd.DataFrame(rows, columns=["channel_id", "roi", "prior_lower", "prior_upper", "passed"])
    wrong = table.loc[table["passed"].eq(False), "channel_id"].tolist()
    judged = table["passed"].notna().sum()
    if wrong:
        passed, text = False, f"ROI of {', '.join(wrong)} lies outside 98 % of its prior"
    elif judged < len(table):
        passed = None
        text = f"{len(table) - judged} of {len(table)} channels have no prior of ROI to be held against"
    else:
        passed, text = True, "every channel's ROI lies within 98 % of its prior"
    return CheckResult("roi_is_plausible", passed, text, None, None, table)


def _expected(fit: ResponseFit, k: int) -> np.ndarray:
    """E[GMV] of a draw, (J, T), from the reference transforms and the recorded exposures."""
    exposures = fit.scaling.exposures(fit.panel.intensity)
    kernel = KERNELS[fit.config.kernel]
    count = len(kernel.parameters)
    curve = fit.draws.curve[k]
    weights = kernel.weights(*curve[:, :count].T, fit.config.max_lag)
    adstock = carry_over(exposures, weights[:, None, :])
    values = saturate(fit.config.saturation, adstock, *(p[:, None, None] for p in curve[:, count:].T))
    return np.einsum("cj,cjt->jt", coefficients(fit, k), values) + baseline(fit, k)


def _moved(learned: float, shift: float) -> bool:
    return learned >= LEARNED_LEAST or shift >= SHIFT_LEAST


def _prior_moments(effect: EffectPrior) -> tuple[float, float]:
    """Mean and sd; of the logarithm where the sign is fixed."""
    if isinstance(effect.prior, LogNormal):
        return float(np.log(effect.prior.median)), effect.prior.log_sd
    return effect.prior.mean, effect.prior.sd


def _prior_quantiles(effect: EffectPrior) -> tuple[float, float]:
    mean, sd = _prior_moments(effect)
    reach = 2.3263478740408408 * sd  # the normal's 99 % quantile
    ends = (mean - reach, mean + reach)
    return tuple(np.exp(ends)) if effect.is_positive else ends
