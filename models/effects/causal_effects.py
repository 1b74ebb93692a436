"""The causal layer over a panel: weighting and doubly robust effects of every channel, beside the primary model.

Methods (rows of `channel_effects`, never primary):

    naive_difference  exposed less unexposed rows (those that trimming left), to show what adjustment is for
    ipw_lagged        weighting by the cross-fitted propensity given characteristics and lagged history
    aipw_lagged       doubly robust on the same history
    aipw_own_median   a consumer's high periods against the others; exposure_distribution above_own_median
    dose_weighted     slope of GMV on exposures, weighted by a count model of exposures given lagged history

Lagged methods condition on the past and on the present exposures of other channels, never on a later period.
With trimming, they speak of the rows that have somebody to compare with: exposure_distribution is overlap_rows
and exposed_overlap_rows; with trimming_threshold 0 it is panel_rows and exposed_rows.

Memory and time grow with rows times columns of the history, which is held at once with a few copies. Measured on one
core for five channels: Complete Journey's 12,680 rows of 173 columns 19 s and 1.4 GB, its 87,101 rows 185 s and
7.9 GB. Give the panel of a sample of consumers where that is too much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from models.effect_rows import effect_row
from models.effects.consumer_bootstrap import BootstrapEstimate
from models.effects.cross_fitting import consumer_folds, cross_fit
from models.effects.doubly_robust import ESTIMANDS, ExposureScores, estimate_effect, exposure_scores
from models.effects.exposure_counts import (
    BALANCE_LIMIT,
    dose_balance,
    fit_count_exposure,
    weighted_dose_slope,
)
from models.effects.overlap import score_overlap, weight_statistics
from models.effects.own_median import above_own_median, own_median_nuisances
from models.effects.propensity import exposed_rows, history_features
from models.effects.segment_effects import segment_effects
from models.effects.sensitivity import score_robustness
from models.errors import ConvergenceError, OverlapError
from models.panel import ConsumerPanel

LAGGED_METHODS = {"naive_difference": "naive", "ipw_lagged": "ipw", "aipw_lagged": "aipw"}
OWN_MEDIAN_METHOD, DOSE_METHOD = "aipw_own_median", "dose_weighted"


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
    overlap : per channel and method (aipw_lagged, aipw_own_median, dose_weighted) shares and effective shares,
        for doses also their correlation with what the past predicts, before and after weighting
    sensitivity : per channel, estimand and AIPW method: estimate, bias_scale, robustness values
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
    fold = consumer_folds(panel.consumer_index, config.folds_count, rng)
    for c, channel_id in enumerate(panel.channel_ids):
        others = np.delete(np.arange(len(panel.channel_ids)), c)
        present = np.log1p(panel.exposures[:, others])
        features = np.column_stack([history, present])
        learners = {"propensity_learner": propensity_learner, "outcome_learner": outcome_learner}

        def lagged(channel_id=channel_id, features=features, learners=learners) -> ExposureScores:
            return lagged_scores(panel, channel_id, features, fold, config, **learners)

        def within(c=c, present=present) -> ExposureScores:
            return _own_median_scores(panel, c, present, fold, config)

        trimmed = config.trimming_threshold > 0
        distributions = (
            ("overlap_rows", "exposed_overlap_rows") if trimmed else ("panel_rows", "exposed_rows")
        )
        work.add_binary(channel_id, LAGGED_METHODS, distributions, lagged)
        work.add_binary(channel_id, {OWN_MEDIAN_METHOD: "aipw"}, ("above_own_median",), within)
        feature_names = (*names, *(f"{panel.channel_ids[k]} now" for k in others))
        work.add_dose(channel_id, panel.exposures[:, c], features, feature_names)
        work.add_segments(channel_id, distributions[0], segments or {})
    return work.result()


def lagged_scores(
    panel: ConsumerPanel,
    channel_id: str,
    features: np.ndarray,
    fold: np.ndarray,
    config: CausalConfig,
    **learners: Any,
) -> ExposureScores:
    """Cross-fitted scores of one channel given features (R, K) that no later period enters; learners as in `cross_fit`.

    Raises OverlapError where an arm is empty.
    """
    treatment = exposed_rows(panel, channel_id, config.exposure_threshold)
    return exposure_scores(
        treatment,
        panel.gmv,
        panel.consumer_index,
        cross_fit(features, treatment, panel.gmv, fold, **learners),
        trimming_threshold=config.trimming_threshold,
        clipping_threshold=config.clipping_threshold,
    )


def _own_median_scores(
    panel: ConsumerPanel, channel: int, present: np.ndarray, fold: np.ndarray, config: CausalConfig
) -> ExposureScores:
    treatment, varies = above_own_median(panel.exposures[:, channel], panel.consumer_index)
    if len(np.unique(fold[varies])) < 2:
        raise OverlapError("exposure does not vary within enough consumers")
    when = (panel.period_index[:, None] == np.unique(panel.period_index)[1:]).astype(float)
    columns = np.column_stack([when, panel.covariates, present])
    nuisances = own_median_nuisances(
        treatment[varies], panel.gmv[varies], panel.consumer_index[varies], columns[varies], fold[varies]
    )
    return exposure_scores(
        treatment[varies],
        panel.gmv[varies],
        panel.consumer_index[varies],
        nuisances,
        trimming_threshold=0.0,
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
    ) -> None:
        estimands = ESTIMANDS[: len(distributions)]
        try:
            scores, reason = build(), None
        except OverlapError as error:
            scores, reason = None, str(error)
        for method, estimator in methods.items():
            if scores is not None and estimator == "aipw":
                self.scores[channel_id, method] = scores
                self.overlap.append(score_overlap(channel_id, scores) | {"method": method})
            for estimand, distribution in zip(estimands, distributions, strict=True):
                found = None
                if scores is not None:
                    found = estimate_effect(scores, estimator, estimand, self.rng, **self.draws)
                self._row(channel_id, estimand, distribution, self.unit, method, found, reason)
                if found is not None and estimator == "aipw":
                    ends = (found.interval_lower, found.interval_upper)
                    robust = score_robustness(scores, estimand, found.estimate, *ends)
                    key = {"channel_id": channel_id, "estimand": estimand, "method": method}
                    self.sensitivity.append(key | {"estimate": found.estimate} | robust)

    def add_dose(
        self, channel_id: str, doses: np.ndarray, features: np.ndarray, names: tuple[str, ...]
    ) -> None:
        panel, found, reason = self.panel, None, None
        try:
            fit = fit_count_exposure(
                features, doses, names, panel.consumer_index, truncation_share=self.config.truncation_share
            )
        except (OverlapError, ConvergenceError, ValueError) as error:
            reason = str(error)
        else:
            found = weighted_dose_slope(fit, panel.gmv, panel.consumer_index, self.rng, **self.draws)
            weights = weight_statistics(fit.weights, fit.weights_raw)
            before, after = dose_balance(fit)
            weights |= {"correlation_before": before, "correlation_after": after}
            self.overlap.append({"channel_id": channel_id, "method": DOSE_METHOD, **weights})
            if abs(after) > BALANCE_LIMIT:
                reason = f"weighted exposures still correlate {after:.2f} with what the past predicts of them"
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
        row = effect_row(
            channel_id,
            estimand,
            distribution,
            unit,
            method=method,
            interval_level=self.config.interval_level,
            not_identified_reason=reason,
            **(found.numbers() if found else {}),
        )
        self.rows.append(row)

    def result(self) -> CausalEffects:
        return CausalEffects(
            channel=pd.DataFrame(self.rows),
            segment=pd.concat(self.segment, ignore_index=True) if self.segment else pd.DataFrame(),
            overlap=pd.DataFrame(self.overlap),
            sensitivity=pd.DataFrame(self.sensitivity),
            scores=self.scores,
        )
