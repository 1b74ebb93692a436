"""Propensity of being exposed in a period, given who the consumer is and what happened before.

    logit P(x_ict > 0) = characteristics_i + market_j + period_t + exposures of earlier periods + earlier GMV

(Ni et al. 2023, section 3.3 uses characteristics only: `conditioning="characteristics"`. Lagged history is added
by default, because targeting follows it. Only *earlier* periods enter: later ones would be consequences.) The
coefficients, the paper's lambda, come with a posterior. Scores describe overlap and feed second opinions;
nothing here makes unrecorded targeting go away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from models.characteristics_design import characteristics_matrix
from models.effects.logistic_posterior import LogisticPosterior, fit_logistic_posterior
from models.errors import OverlapError
from models.panel import ConsumerPanel

PRIOR_SD = 1.0  # log odds per sd of a column; enough to keep separable data finite
CONDITIONINGS = ("history", "characteristics")


@dataclass(frozen=True, eq=False)
class PropensityFit:
    """Scores of one channel over the panel's rows.

    Attributes
    ----------
    treatment : (R,) bool, exposures above `exposure_threshold`
    propensity_raw : (R,) as estimated; propensity : (R,) held in [clipping_threshold, 1 - clipping_threshold]
    feature_names, coefficients : (K,) standardised columns and their logit coefficients
    posterior : of intercept and coefficients (lambda), None where the scores were given from outside
    """

    channel_id: str
    exposure_threshold: float
    clipping_threshold: float
    treatment: np.ndarray
    propensity_raw: np.ndarray
    propensity: np.ndarray
    feature_names: tuple[str, ...]
    coefficients: np.ndarray
    posterior: LogisticPosterior | None = None


def fit_propensity(
    panel: ConsumerPanel,
    channel_id: str,
    *,
    exposure_threshold: float = 0.0,
    clipping_threshold: float = 0.01,
    conditioning: str = "history",
    prior_sd: float = PRIOR_SD,
) -> PropensityFit:
    """Estimate the propensity of exposure above `exposure_threshold` in a period.

    conditioning: "history" (characteristics, market, period, lagged exposures and GMV) or "characteristics"
    (the paper's e(W_i): nothing but W). prior_sd: of each coefficient on its standardised column.

    Raises
    ------
    OverlapError
        All rows, or none, are treated: there is nobody to compare with.
    """
    if conditioning not in CONDITIONINGS:
        raise ValueError(f"conditioning is {conditioning!r}; it must be one of {', '.join(CONDITIONINGS)}.")
    if not 0 < clipping_threshold < 0.5:
        raise ValueError(f"clipping_threshold is {clipping_threshold}; it must lie between 0 and 0.5.")
    treatment = exposed_rows(panel, channel_id, exposure_threshold)
    if conditioning == "history":
        features, names = history_features(panel)
    else:
        matrix, names = characteristics_matrix(panel)
        features = matrix[panel.consumer_index]
    kept = features.std(axis=0) > 1e-12
    names = tuple(np.array(names, dtype=object)[kept])
    posterior = fit_logistic_posterior(
        features[:, kept], treatment, names, panel.consumer_index, prior_sd=prior_sd
    )
    standardised = (features[:, kept] - posterior.centre) / posterior.spread
    raw = expit(posterior.mean[0] + standardised @ posterior.mean[1:])
    return PropensityFit(
        channel_id=channel_id,
        exposure_threshold=exposure_threshold,
        clipping_threshold=clipping_threshold,
        treatment=treatment,
        propensity_raw=raw,
        propensity=raw.clip(clipping_threshold, 1 - clipping_threshold),
        feature_names=names,
        coefficients=posterior.mean[1:],
        posterior=posterior,
    )


def exposed_rows(panel: ConsumerPanel, channel_id: str, exposure_threshold: float = 0.0) -> np.ndarray:
    """(R,) bool, True where the channel's exposures in the period are above the threshold.

    Raises
    ------
    ValueError : the channel is not in the panel.
    OverlapError : all rows, or none, are exposed.
    """
    channels = panel.channel_ids.tolist()
    if channel_id not in channels:
        raise ValueError(f"Channel {channel_id!r} is not in the panel; it has {', '.join(channels)}.")
    treatment = panel.exposures[:, channels.index(channel_id)] > exposure_threshold
    treated = int(treatment.sum())
    if treated in (0, len(treatment)):
        raise OverlapError(
            f"Channel {channel_id!r}: {treated} of {len(treatment)} rows have more than {exposure_threshold:g} "
            "exposures, so there is no other arm to compare with. Raise exposure_threshold, or leave it out."
        )
    return treatment


def history_features(panel: ConsumerPanel) -> tuple[np.ndarray, list[str]]:
    """Characteristics, market, period, and lagged exposures and GMV of each row: (R, K) and names.

    Lagged exposures come from every calendar period; lagged GMV from the consumer's earlier panel rows (the
    pre-period speaks through its recency, frequency and monetary value), with a flag where there is none.
    """
    characteristics, names = characteristics_matrix(panel)
    columns = [characteristics[panel.consumer_index], panel.covariates]
    names = [*names, *panel.covariate_names]
    for label, index in (("market", panel.market_index), ("period", panel.period_index)):
        levels = np.arange(1, index.max() + 1)
        columns.append((index[:, None] == levels).astype(float))
        names += [f"{label} {level}" for level in levels]
    now = panel.calendar_index
    for c, channel_id in enumerate(panel.channel_ids):
        dense = panel.exposures_by_calendar(c)
        before = np.concatenate([np.zeros((len(dense), 1)), np.cumsum(dense, axis=1)], axis=1)
        last = np.where(now > 0, dense[panel.consumer_index, np.maximum(now - 1, 0)], 0.0)
        mean = before[panel.consumer_index, now] / np.maximum(now, 1)
        columns += [np.log1p(last)[:, None], np.log1p(mean)[:, None]]
        names += [f"{channel_id} last period", f"{channel_id} mean so far"]
    last, mean, is_first = _earlier_gmv(panel)
    columns += [_signed_log(last)[:, None], _signed_log(mean)[:, None], is_first[:, None]]
    names += ["gmv last row", "gmv mean so far", "no earlier row"]
    return np.column_stack(columns), names


def _earlier_gmv(panel: ConsumerPanel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """GMV of the consumer's previous row, mean over all previous rows, and 1 where there is none; (R,) each."""
    starts = np.flatnonzero(np.diff(panel.consumer_index, prepend=-1))
    position = np.arange(panel.rows_count) - starts[panel.consumer_index]
    cumulative = np.cumsum(panel.gmv)
    before = cumulative - panel.gmv
    earlier = before - before[starts][panel.consumer_index]
    last = np.where(position > 0, np.roll(panel.gmv, 1), 0.0)
    return last, earlier / np.maximum(position, 1), (position == 0).astype(float)


def _signed_log(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.log1p(np.abs(values))
