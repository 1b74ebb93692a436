"""The causal layer over a panel: weighting and doubly robust effects of every channel, beside the primary model.

Methods (rows of `channel_effects`, never primary):

    naive_difference           exposed less unexposed rows (those that trimming left); a diagnostic
    ipw_characteristics        weighting by the propensity given characteristics alone, the paper's; a diagnostic
    ipw_lagged                 weighting by the cross-fitted propensity given characteristics and lagged history
    weighted_pseudo_posterior  a linear working model of exposure and characteristics, weighted like ipw_lagged
    aipw_lagged                doubly robust on the same history
    aipw_own_median            a consumer's high periods against the others; exposure_distribution above_own_median
    dose_weighted              slope of GMV on exposures, weighted by a count model of exposures given lagged history

Diagnostics carry a reason that says what they leave out, and are identified nowhere. Lagged methods condition on the
past and on the present exposures of other channels, never on a later period. With trimming, effects speak of the rows
that have somebody to compare with: exposure_distribution is overlap_rows, exposed_overlap_rows and
above_own_median_overlap; with trimming_threshold 0 it is panel_rows, exposed_rows and above_own_median.

Intervals resample consumers and are stretched to the two-way error of consumers and periods where that is wider
(`two_way`; error_ratio says by how much). Coverage on worlds with known effects, with and without shared waves of
exposure and shocks common to all: docs/studies/causal_layer.md, `make study-causal`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from models.characteristics_design import characteristics_matrix
from models.effect_rows import effect_row
from models.effects.consumer_bootstrap import BootstrapEstimate
from models.effects.cross_fitting import Nuisances, consumer_folds, cross_fit
from models.effects.doubly_robust import ESTIMANDS, ExposureScores, estimate_effect, exposure_scores
from models.effects.exposure_counts import (
    BALANCE_LIMIT,
    dose_balance,
    fit_count_exposure,
    weighted_dose_slope,
)
from models.effects.overlap import score_overlap, weight_statistics
from models.effects.own_median import above_own_median, own_median_scores
from models.effects.propensity import exposed_rows, history_features
from models.effects.segment_effects import segment_effects
from models.effects.sensitivity import dose_bias_scale, estimate_robustness, score_bias_scale
from models.effects.two_way import PERIODS_MINIMUM
from models.effects.weighted_pseudo_posterior import METHOD as PSEUDO_POSTERIOR_METHOD
from models.effects.weighted_pseudo_posterior import weighted_pseudo_posterior
from models.errors import ConvergenceError, OverlapError
from models.panel import ConsumerPanel

LAGGED_METHODS = {"naive_difference": "naive", "ipw_lagged": "ipw", "aipw_lagged": "aipw"}
CHARACTERISTICS_METHODS = {"ipw_characteristics": "ipw"}
OWN_MEDIAN_METHOD, DOSE_METHOD = "aipw_own_median", "dose_weighted"
#: Methods that no assumption worth making turns into effects, and what they leave out.
DIAGNOSTICS = {
    "naive_difference": "a diagnostic: adjusts for nothing; whatever leads to exposure and to purchases is left in it",
    "ipw_characteristics": (
        "a diagnostic: weights by characteristics alone; period, past purchases, past exposures and other channels "
        "are left in it"
    ),
}


@dataclass(frozen=True, slots=True)
class CausalConfig:
    """Settings of the causal layer, checked here.

    exposure_threshold: exposures in a period above which a row counts as exposed
    trimming_threshold: rows with a propensity beyond it (from 0 or 1) are left out; 0 keeps all
    clipping_threshold: bound on the propensities that divide, in (0, 0.5)
    truncation_share: of dose weights, on either side
    folds_count: of consumers, for cross-fitting; bootstrap_draws: resampled sets of consumers
    """

    exposure_threshold: float = 0.0
    trimming_threshold: float = 0.02
    clipping_threshold: float = 0.01
    truncation_share: float = 0.01
    folds_count: int = 5
    bootstrap_draws: int = 1_000
    interval_level: float = 0.95

    def __post_init__(self) -> None:
        if not 0 <= self.trimming_threshold < 0.5 or not 0 < self.clipping_threshold < 0.5:
            raise ValueError(
                f"trimming_threshold is {self.trimming_threshold} and clipping_threshold "
                f"{self.clipping_threshold}; they must lie in [0, 0.5) and (0, 0.5)."
            )
        if self.folds_count < 2 or self.bootstrap_draws < 2 or not 0 < self.interval_level < 1:
            raise ValueError(
                f"folds_count {self.folds_count}, bootstrap_draws {self.bootstrap_draws}, interval_level "
                f"{self.interval_level}: give at least 2 folds, at least 2 draws and a level between 0 and 1."
            )


@dataclass(frozen=True, eq=False)
class CausalEffects:
    """What the causal layer found.

    Attributes
    ----------
    channel : effect rows of every channel and method; NaN and a reason where it could not be computed (a number and
        a reason where dose weights left the past in)
    segment : cate rows of aipw_lagged by segment (empty where no segments were given)
    overlap : per channel and method (aipw_lagged, ipw_characteristics, aipw_own_median, dose_weighted) trimmed and
        effective shares, for doses also their correlation with what the past predicts, before and after weighting
    sensitivity : per channel, estimand and method but diagnostics: estimate, bias_scale, robustness
        values, and how many periods carry it (periods_effective)
    scores : (channel_id, method) -> the scores behind the two AIPW methods
    """

    channel: pd.DataFrame
    segment: pd.DataFrame
    overlap: pd.DataFrame
    sensitivity: pd.DataFrame
    scores: dict[tuple[str, str], ExposureScores] = field(repr=False)


def causal_effects(
    panel: ConsumerPanel,
    rng: np.random.Generator,
    config: CausalConfig | None = None,
    *,
    segments: dict[str, np.ndarray] | None = None,
    propensity_learner: Any | None = None,
    outcome_learner: Any | None = None,
) -> CausalEffects:
    """Effects of every channel by the methods above.

    segments: segment_name -> (N,) text, a value per consumer of the panel. Learners as in `cross_fit`.
    """
    config = config or CausalConfig()
    work = _Collector(panel, config, rng)
    history, names = history_features(panel)
    history = np.column_stack([history, np.log1p(panel.exposures)])  # once, whatever the number of channels
    names = (*names, *(f"{name} now" for name in panel.channel_ids))
    characteristics = characteristics_matrix(panel)[0][panel.consumer_index]
    fold = consumer_folds(panel.consumer_index, config.folds_count, rng)
    learners = {"propensity_learner": propensity_learner, "outcome_learner": outcome_learner}
    trimmed = config.trimming_threshold > 0
    distributions = ("overlap_rows", "exposed_overlap_rows") if trimmed else ("panel_rows", "exposed_rows")
    own_distribution = "above_own_median_overlap" if trimmed else "above_own_median"
    for c, channel_id in enumerate(panel.channel_ids):
        columns = np.delete(np.arange(len(names)), len(names) - len(panel.channel_ids) + c)

        def lagged(channel_id=channel_id, columns=columns) -> ExposureScores:
            return lagged_scores(panel, channel_id, history, fold, config, columns=columns, **learners)

        def by_characteristics(channel_id=channel_id) -> ExposureScores:
            treatment = exposed_rows(panel, channel_id, config.exposure_threshold)
            means = [np.full(panel.rows_count, panel.gmv[treatment == arm].mean()) for arm in (False, True)]
            propensity = cross_fit(characteristics, treatment, panel.gmv, fold).propensity_raw
            return _scores(panel, treatment, Nuisances(propensity, *means), config)

        def within(c=c) -> ExposureScores:
            return _own_median_scores(panel, c, fold, config)

        scores = work.add_binary(channel_id, LAGGED_METHODS, distributions, lagged)
        work.add_pseudo_posterior(channel_id, distributions[0], scores, characteristics)
        work.add_binary(channel_id, CHARACTERISTICS_METHODS, distributions, by_characteristics)
        work.add_binary(channel_id, {OWN_MEDIAN_METHOD: "aipw"}, (own_distribution,), within)
        chosen = tuple(names[k] for k in columns)
        work.add_dose(channel_id, panel.exposures[:, c], history, columns, chosen)
        work.add_segments(channel_id, distributions[0], segments or {})
    return work.result()


def lagged_scores(
    panel: ConsumerPanel,
    channel_id: str,
    features: np.ndarray,
    fold: np.ndarray,
    config: CausalConfig,
    **options: Any,
) -> ExposureScores:
    """Cross-fitted scores of one channel given features (R, K) that no later period enters; options as in `cross_fit`.

    Raises OverlapError where an arm is empty.
    """
    treatment = exposed_rows(panel, channel_id, config.exposure_threshold)
    return _scores(panel, treatment, cross_fit(features, treatment, panel.gmv, fold, **options), config)


def _scores(
    panel: ConsumerPanel, treatment: np.ndarray, nuisances: Nuisances, config: CausalConfig
) -> ExposureScores:
    return exposure_scores(
        treatment,
        panel.gmv,
        panel.consumer_index,
        nuisances,
        period_index=panel.period_index,
        trimming_threshold=config.trimming_threshold,
        clipping_threshold=config.clipping_threshold,
    )


def _own_median_scores(
    panel: ConsumerPanel, channel: int, fold: np.ndarray, config: CausalConfig
) -> ExposureScores:
    treatment, varies = above_own_median(panel.exposures[:, channel], panel.consumer_index)
    if len(np.unique(fold[varies])) < 2:
        raise OverlapError("exposure does not vary within enough consumers")
    when = (panel.period_index[:, None] == np.unique(panel.period_index)[1:]).astype(float)
    present = np.log1p(np.delete(panel.exposures, channel, axis=1))
    columns = np.column_stack([when, panel.covariates, present])
    return own_median_scores(
        treatment[varies],
        panel.gmv[varies],
        panel.consumer_index[varies],
        panel.period_index[varies],
        columns[varies],
        fold[varies],
        trimming_threshold=config.trimming_threshold,
        clipping_threshold=config.clipping_threshold,
    )


class _Collector:
    """Gathers rows; what a channel does not support becomes a row with a reason instead of an error."""

    def __init__(self, panel: ConsumerPanel, config: CausalConfig, rng: np.random.Generator) -> None:
        self.panel, self.config, self.rng = panel, config, rng
        self.rows: list[dict] = []
        self.overlap: list[dict] = []
        self.sensitivity: list[dict] = []
        self.segment: list[pd.DataFrame] = []
        self.scores: dict[tuple[str, str], ExposureScores] = {}
        self.draws = {"draws_count": config.bootstrap_draws, "interval_level": config.interval_level}
        self.unit = f"{panel.currency_code} per exposed consumer-period"

    def add_binary(
        self,
        channel_id: str,
        methods: dict[str, str],
        distributions: tuple[str, ...],
        build: Callable[[], ExposureScores],
    ) -> ExposureScores | str:
        """The scores, or why there are none."""
        estimands = ESTIMANDS[: len(distributions)]
        try:
            scores: ExposureScores | str = build()
        except (OverlapError, ConvergenceError) as error:
            scores = str(error)
        for method, estimator in methods.items():
            known = isinstance(scores, ExposureScores)
            if known and (estimator == "aipw" or method in CHARACTERISTICS_METHODS):
                self.overlap.append(score_overlap(channel_id, scores) | {"method": method})
            if known and estimator == "aipw":
                self.scores[channel_id, method] = scores
            for estimand, distribution in zip(estimands, distributions, strict=True):
                found = (
                    estimate_effect(scores, estimator, estimand, self.rng, **self.draws) if known else None
                )
                self._row(
                    channel_id, estimand, distribution, self.unit, method, found, None if known else scores
                )
                if known and method not in DIAGNOSTICS:
                    self._robustness(channel_id, estimand, method, found, score_bias_scale(scores, estimand))
        return scores

    def add_pseudo_posterior(
        self, channel_id: str, distribution: str, scores: ExposureScores | str, characteristics: np.ndarray
    ) -> None:
        found, reason = None, scores
        if isinstance(scores, ExposureScores):
            level, reason = self.config.interval_level, None
            found = weighted_pseudo_posterior(scores, characteristics[scores.rows], interval_level=level)
            scale = score_bias_scale(scores, "ate_exposed")
            self._robustness(channel_id, "ate_exposed", PSEUDO_POSTERIOR_METHOD, found, scale)
        self._row(channel_id, "ate_exposed", distribution, self.unit, PSEUDO_POSTERIOR_METHOD, found, reason)

    def add_dose(
        self,
        channel_id: str,
        doses: np.ndarray,
        features: np.ndarray,
        columns: np.ndarray,
        names: tuple[str, ...],
    ) -> None:
        panel, found, reason = self.panel, None, None
        try:
            fit = fit_count_exposure(
                features,
                doses,
                names,
                panel.consumer_index,
                columns=columns,
                truncation_share=self.config.truncation_share,
            )
        except (OverlapError, ConvergenceError, ValueError) as error:
            reason = str(error)
        else:
            settings = self.draws | {"period_index": panel.period_index}
            found = weighted_dose_slope(fit, panel.gmv, panel.consumer_index, self.rng, **settings)
            weights = weight_statistics(fit.weights, fit.weights_raw)
            before, after = dose_balance(fit)
            weights |= {"correlation_before": before, "correlation_after": after}
            self.overlap.append({"channel_id": channel_id, "method": DOSE_METHOD, **weights})
            if abs(after) > BALANCE_LIMIT:
                reason = f"weighted exposures still correlate {after:.2f} with what the past predicts of them"
            scale = dose_bias_scale(fit, panel.gmv)
            self._robustness(channel_id, "slope", DOSE_METHOD, found, scale)
        unit = f"{panel.currency_code} per exposure"
        self._row(channel_id, "slope", "panel_rows", unit, DOSE_METHOD, found, reason)

    def add_segments(self, channel_id: str, distribution: str, segments: dict[str, np.ndarray]) -> None:
        scores = self.scores.get((channel_id, "aipw_lagged"))
        for name, values in segments.items() if scores is not None else ():
            self.segment.append(
                segment_effects(
                    scores,
                    values,
                    self.rng,
                    channel_id=channel_id,
                    segment_name=name,
                    unit=self.unit,
                    method="aipw_lagged",
                    exposure_distribution=distribution,
                    **self.draws,
                )
            )

    def _row(
        self,
        channel_id: str,
        estimand: str,
        distribution: str,
        unit: str,
        method: str,
        found: BootstrapEstimate | None,
        reason: str | None,
    ) -> None:
        reasons = [DIAGNOSTICS.get(method), reason]
        if found is not None and found.periods_effective < PERIODS_MINIMUM:
            reasons.append(
                f"rests on {found.periods_effective:.1f} periods (effective), at least {PERIODS_MINIMUM:g} are needed "
                "to tell an effect from what those periods had in common"
            )
        row = effect_row(
            channel_id,
            estimand,
            distribution,
            unit,
            method=method,
            interval_level=self.config.interval_level,
            not_identified_reason="; ".join(filter(None, reasons)) or None,
            **(found.numbers() if found else {}),
        )
        self.rows.append(row)

    def _robustness(
        self, channel_id: str, estimand: str, method: str, found: BootstrapEstimate, bias_scale: float
    ) -> None:
        key = {"channel_id": channel_id, "estimand": estimand, "method": method, "estimate": found.estimate}
        ends = (found.interval_lower, found.interval_upper)
        robust = estimate_robustness(bias_scale, found.estimate, *ends)
        self.sensitivity.append(key | robust | {"periods_effective": found.periods_effective})

    def result(self) -> CausalEffects:
        return CausalEffects(
            channel=pd.DataFrame(self.rows),
            segment=pd.concat(self.segment, ignore_index=True) if self.segment else pd.DataFrame(),
            overlap=pd.DataFrame(self.overlap),
            sensitivity=pd.DataFrame(self.sensitivity),
            scores=self.scores,
        )
