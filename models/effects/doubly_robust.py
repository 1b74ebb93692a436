"""Exposed against unexposed consumer-periods: what weighting and doubly robust scores make of them.

With D exposed or not, Y GMV of the period, e the propensity, g0 and g1 outcome regressions, o = e / (1 - e):

    naive   mean(Y | D = 1) - mean(Y | D = 0)
    ipw     ate_exposed  sum(Y D / e) / sum(D / e) - sum(Y (1 - D) / (1 - e)) / sum((1 - D) / (1 - e))
            att_exposed  sum(Y D) / sum(D) - sum(Y (1 - D) o) / sum((1 - D) o)
    aipw    ate_exposed  mean of g1 - g0 + D (Y - g1) / e - (1 - D) (Y - g0) / (1 - e)
            att_exposed  sum of D (Y - g0) - (1 - D) o (Y - g0), over sum(D)

(ipw: Hernan and Robins 2020, section 12.3, stabilised weights in the saturated model, where the stabilising
constants P(D = d) cancel within an arm. aipw: Robins, Rotnitzky and Zhao 1994; Chernozhukov et al. 2018,
equations 5.3 and 5.4, which DoubleML's IRM implements.)

Unbiased where, given the conditioning history, exposure is as good as random. A latent propensity to buy that
characteristics and history do not carry is *not* adjusted for: in studies/consumer_effects.md AIPW on lagged
history could not clear a strongly targeted null channel in 6 of 6 trials. It is a second opinion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.effects.consumer_bootstrap import (
    BootstrapEstimate,
    bootstrap_clusters,
    ratio_difference,
)
from models.effects.cross_fitting import Nuisances
from models.errors import OverlapError

ESTIMATORS = ("naive", "ipw", "aipw")
ESTIMANDS = ("ate_exposed", "att_exposed")


@dataclass(frozen=True, eq=False)
class FittingInfluence:
    """What rows add to the sum of AIPW scores through nuisances that were estimated from them; (M,) each.

    M are all rows that anything was fitted on, those that trimming left out as well.
    """

    values: np.ndarray
    consumer_index: np.ndarray
    period_index: np.ndarray


@dataclass(frozen=True, eq=False)
class ExposureScores:
    """Rows of one 0/1 exposure with their nuisance predictions; rows outside the trimming bounds are gone.

    Attributes
    ----------
    treatment : (R,) bool; outcome : (R,) money; consumer_index : (R,)
    propensity : (R,) in [clipping_threshold, 1 - clipping_threshold]; propensity_raw : (R,) before
    outcome_unexposed, outcome_exposed : (R,) g0, g1
    trimmed_share : share of rows left out because nobody comparable is in the other arm
    rows : (R,) positions of the rows among those that scores were made for
    period_index : (R,), or None where periods are not to count as clusters
    fitting : influence of estimating the nuisances on the sum of AIPW scores, None where it is of second order
    """

    treatment: np.ndarray
    outcome: np.ndarray
    consumer_index: np.ndarray
    propensity_raw: np.ndarray
    propensity: np.ndarray
    outcome_unexposed: np.ndarray
    outcome_exposed: np.ndarray
    trimmed_share: float
    rows: np.ndarray
    period_index: np.ndarray | None = None
    fitting: FittingInfluence | None = None

    def with_fitting(self, fitting: FittingInfluence) -> ExposureScores:
        """The same scores, whose errors include that of fitting."""
        return replace(self, fitting=fitting)

    @property
    def aipw(self) -> np.ndarray:
        """(R,) AIPW scores, whose mean over any group of rows is that group's average effect."""
        d, e = self.treatment, self.propensity
        gap = self.outcome_exposed - self.outcome_unexposed
        return (
            gap
            + np.where(d, (self.outcome - self.outcome_exposed) / e, 0.0)
            - np.where(d, 0.0, (self.outcome - self.outcome_unexposed) / (1 - e))
        )


def exposure_scores(
    treatment: np.ndarray,
    outcome: np.ndarray,
    consumer_index: np.ndarray,
    nuisances: Nuisances,
    *,
    period_index: np.ndarray | None = None,
    trimming_threshold: float = 0.02,
    clipping_threshold: float = 0.01,
) -> ExposureScores:
    """Trim rows whose raw propensity lies outside [trimming_threshold, 1 - trimming_threshold], clip the rest.

    Trimming changes whom the effect is about (Crump et al. 2009); 0 keeps everybody.

    Raises
    ------
    ValueError : a threshold outside its range.
    OverlapError : no row of one of the arms is left.
    """
    if not 0 <= trimming_threshold < 0.5 or not 0 < clipping_threshold < 0.5:
        raise ValueError(
            f"trimming_threshold is {trimming_threshold} and clipping_threshold {clipping_threshold}; "
            "they must lie in [0, 0.5) and (0, 0.5)."
        )
    raw = nuisances.propensity_raw
    kept = (raw >= trimming_threshold) & (raw <= 1 - trimming_threshold)
    exposed = int(treatment[kept].sum())
    if exposed in (0, int(kept.sum())):
        raise OverlapError(
            f"Of {len(raw)} rows {kept.sum()} have a propensity in [{trimming_threshold:g}, "
            f"{1 - trimming_threshold:g}], {exposed} of them exposed: no two arms to compare. Lower "
            "trimming_threshold, or leave the channel out."
        )
    return ExposureScores(
        treatment=treatment[kept],
        outcome=outcome[kept],
        consumer_index=consumer_index[kept],
        propensity_raw=raw[kept],
        propensity=raw[kept].clip(clipping_threshold, 1 - clipping_threshold),
        outcome_unexposed=nuisances.outcome_unexposed[kept],
        outcome_exposed=nuisances.outcome_exposed[kept],
        trimmed_share=float(1 - kept.mean()),
        rows=np.flatnonzero(kept),
        period_index=None if period_index is None else period_index[kept],
    )


def estimator_terms(scores: ExposureScores, estimator: str, estimand: str) -> np.ndarray:
    """(R, 4) row terms a, b, c, d of an estimate sum(a) / sum(b) - sum(c) / sum(d)."""
    if estimator not in ESTIMATORS or estimand not in ESTIMANDS:
        raise ValueError(
            f"No {estimator!r} of {estimand!r}; estimators are {', '.join(ESTIMATORS)}, estimands "
            f"{', '.join(ESTIMANDS)}."
        )
    d = scores.treatment.astype(float)
    y, e, ones = scores.outcome, scores.propensity, np.ones(len(d))
    odds = e / (1 - e)
    if estimator == "aipw":
        if estimand == "ate_exposed":
            return np.column_stack([scores.aipw, ones, 0 * ones, ones])
        residual = y - scores.outcome_unexposed
        return np.column_stack([(d - (1 - d) * odds) * residual, d, 0 * ones, ones])
    if estimator == "naive":
        exposed, unexposed = d, 1 - d
    elif estimand == "ate_exposed":
        exposed, unexposed = d / e, (1 - d) / (1 - e)
    else:
        exposed, unexposed = d, (1 - d) * odds
    return np.column_stack([exposed * y, exposed, unexposed * y, unexposed])


def estimate_effect(
    scores: ExposureScores,
    estimator: str,
    estimand: str,
    rng: np.random.Generator,
    *,
    draws_count: int = 1_000,
    interval_level: float = 0.95,
) -> BootstrapEstimate:
    """One estimate with its interval over resampled consumers, in money per exposed consumer-period.

    Where the scores have periods, the interval is stretched to the two-way error if that is wider.
    """
    terms, consumer, period = (
        estimator_terms(scores, estimator, estimand),
        scores.consumer_index,
        scores.period_index,
    )
    if scores.fitting is not None and (estimator, estimand) == ("aipw", "ate_exposed"):
        fitting = scores.fitting
        extra = np.column_stack([fitting.values, *(0 * fitting.values for _ in range(3))])
        terms = np.concatenate([terms, extra])
        consumer = np.append(consumer, fitting.consumer_index)
        period = None if period is None else np.append(period, fitting.period_index)
    return bootstrap_clusters(
        terms,
        consumer,
        period,
        ratio_difference,
        rng,
        draws_count=draws_count,
        interval_level=interval_level,
    )
