"""The specifications of the robustness suite (Ni et al. 2023, section 4.5): what is changed, and how to run it.

Each specification changes one thing of the baseline: a prior, the consumers, the periods, the markets, the columns, or
where panels end. It is a recipe: nothing is computed until it is asked for, and one that cannot be run raises
PanelError, which the suite turns into a row with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from models.checks.interactions import strongest_pairs, with_interaction
from models.errors import PanelError
from models.evaluation.splits import panel_subset
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.refit import design_like
from models.hbmmm.statistics import SufficientStatistics
from models.panel import ConsumerPanel

BASELINE = "baseline"
PRIORS = (
    "row_sd",
    "intercept_sd",
    "intercept_moderator_sd",
    "slope_moderator_share",
    "consumer_intercept_scale",
    "consumer_slope_share",
    "market_intercept_scale",
    "market_slope_share",
    "log_noise_sd",
)
CORRELATION_PRIOR = "slope_correlation"
FACTORS = {"halved": 0.5, "doubled": 2.0}
_SEED_STREAM = 2


@dataclass(frozen=True, slots=True, eq=False)
class RefitInput:
    """Arguments of refit_channel_effects; None where the fit's own serve."""

    statistics: SufficientStatistics
    panel: ConsumerPanel
    config: HBMMMConfig | None = None
    design: Design | None = None
    completed: tuple[pd.DataFrame, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Specification:
    """kind and name; build gives the input (or raises PanelError); is_part: it sees a part of the baseline's rows, so
    that its difference from the baseline has a size that chance alone gives it."""

    kind: str
    name: str
    build: Callable[[], RefitInput]
    is_part: bool = False


def specifications(
    fit: HBMMMFit,
    panel: ConsumerPanel,
    *,
    padded_panel: ConsumerPanel | None = None,
    interactions: tuple[tuple[str, str], ...] | None = None,
    markets_left_out: int = 3,
) -> tuple[Specification, ...]:
    """All specifications of a fit on its panel, the baseline first; arguments as in robustness_checks."""
    statistics = SufficientStatistics.from_panel(panel)
    same = RefitInput(statistics, panel)
    return (
        Specification(BASELINE, BASELINE, lambda: same),
        *_priors(fit, same),
        *_data(fit, same, markets_left_out),
        *_columns(fit, same, interactions),
        Specification("panel_end", "padded panels", lambda: _padded(fit, panel, padded_panel)),
    )


def alternative_priors(config: HBMMMConfig) -> dict[str, HBMMMConfig]:
    """Each prior scale halved and doubled, the concentration of correlations too, and all scales together."""

    def scaled(names: tuple[str, ...], factor: float) -> HBMMMConfig:
        return replace(config, **{f"prior_{n}": getattr(config, f"prior_{n}") * factor for n in names})

    chosen = {}
    for name in (*PRIORS, CORRELATION_PRIOR):
        for said, factor in FACTORS.items():
            chosen[f"{name} {said}"] = scaled((name,), factor)
    return chosen | {f"all scales {said}": scaled(PRIORS, factor) for said, factor in FACTORS.items()}


def _priors(fit: HBMMMFit, same: RefitInput) -> Iterator[Specification]:
    for name, config in alternative_priors(fit.config).items():
        lkj = name.startswith(CORRELATION_PRIOR) and not fit.design.has_correlated_slopes
        reason = "the model has no correlation of slopes" if lkj else None
        market = name.startswith("market_") and not fit.design.has_market_level
        reason = "the model has no market level" if market else reason
        yield Specification(
            "prior", name, lambda config=config, reason=reason: _unless(reason, same, config=config)
        )
    plain = replace(fit.config, slope_correlations="none")
    reason = None if fit.design.has_correlated_slopes else "the model has no correlation of slopes"
    yield Specification(
        "correlation", "slopes uncorrelated", lambda: _unless(reason, _redesigned(fit, same, plain))
    )


def _data(fit: HBMMMFit, same: RefitInput, markets_left_out: int) -> Iterator[Specification]:
    statistics, panel = same.statistics, same.panel
    order = np.random.default_rng([fit.config.seed, _SEED_STREAM]).permutation(len(statistics.consumer_ids))
    for half in (0, 1):
        chosen = np.sort(order[half::2])
        yield Specification(
            "subsample",
            f"random half {half + 1} of consumers",
            lambda chosen=chosen: _part(fit, same, chosen),
            True,
        )
    periods = len(panel.period_starts)
    third = periods // 3
    for name, keep in {
        "first two thirds of periods": panel.period_index < periods - third,
        "last two thirds of periods": panel.period_index >= third,
    }.items():
        yield Specification("split", name, lambda keep=keep: _window(fit, panel, keep, periods), True)
    counts = np.bincount(statistics.market_index, minlength=len(statistics.market_ids))
    for market in np.argsort(-counts, kind="stable")[:markets_left_out]:
        outside = np.flatnonzero(statistics.market_index != market)
        yield Specification(
            "market",
            f"without market {statistics.market_ids[market]}",
            lambda outside=outside: _part(fit, same, outside),
            True,
        )
    reason = None if len(fit.completed) > 1 else "no characteristic is missing: there is one data set"
    yield Specification(
        "imputation",
        "second completed data set",
        lambda: _unless(reason, same, completed=fit.completed[1:2]),
    )


def _columns(
    fit: HBMMMFit, same: RefitInput, interactions: tuple[tuple[str, str], ...] | None
) -> Iterator[Specification]:
    def without_covariates() -> RefitInput:
        if not same.statistics.covariate_names:
            raise PanelError("the panel has no covariates")
        return _redesigned(fit, replace(same, statistics=same.statistics.without("covariate")), fit.config)

    def without_periods() -> RefitInput:
        if not any(c.kind == "period" for c in fit.design.row_columns):
            raise PanelError("the model has no period effects")
        return _redesigned(fit, same, replace(fit.config, include_period_effects="none"))

    def linear() -> RefitInput:
        if not any(c.kind == "exposure_log1p" for c in fit.design.row_columns):
            raise PanelError("the model has no concave exposure column")
        return _redesigned(fit, same, replace(fit.config, basis="linear"))

    yield Specification("covariate", "without covariates", without_covariates)
    yield Specification("period", "without period effects", without_periods)
    yield Specification("basis", "linear exposure", linear)
    pairs = strongest_pairs(fit, 3) if interactions is None else interactions
    if not pairs:

        def none_possible() -> RefitInput:
            raise PanelError("the model has fewer than two characteristics")

        yield Specification("interaction", "two characteristics", none_possible)
    for first, second in pairs:
        yield Specification(
            "interaction",
            f"{first} x {second}",
            lambda first=first, second=second: _with_interaction(fit, same, first, second),
        )


def _unless(reason: str | None, given: RefitInput, **changes: object) -> RefitInput:
    if reason:
        raise PanelError(reason)
    return replace(given, **changes)


def _redesigned(fit: HBMMMFit, given: RefitInput, config: HBMMMConfig) -> RefitInput:
    return replace(given, config=config, design=design_like(fit, given.statistics, config))


def _part(fit: HBMMMFit, same: RefitInput, consumers: np.ndarray) -> RefitInput:
    if not 2 <= len(consumers) < len(same.statistics.consumer_ids):
        raise PanelError(f"{len(consumers)} of {len(same.statistics.consumer_ids)} consumers would be left")
    return _redesigned(fit, replace(same, statistics=same.statistics.subset(consumers)), fit.config)


def _window(fit: HBMMMFit, panel: ConsumerPanel, keep: np.ndarray, periods: int) -> RefitInput:
    if periods < 3:
        raise PanelError(f"the panel has {periods} periods; three thirds cannot be told apart")
    part = panel_subset(panel, keep)
    return _redesigned(fit, RefitInput(SufficientStatistics.from_panel(part), part), fit.config)


def _padded(fit: HBMMMFit, panel: ConsumerPanel, padded: ConsumerPanel | None) -> RefitInput:
    if padded is None:
        raise PanelError("no padded panel was given")
    known = set(fit.consumer_ids.tolist())
    keep = np.array([c in known for c in padded.consumer_ids.tolist()])[padded.consumer_index]
    part = panel_subset(padded, keep)
    if part.rows_count == panel.rows_count:
        raise PanelError("no panel ends for want of later activity, so there is nothing to pad")
    return _redesigned(fit, RefitInput(SufficientStatistics.from_panel(part), part), fit.config)


def _with_interaction(fit: HBMMMFit, same: RefitInput, first: str, second: str) -> RefitInput:
    characteristics = with_interaction(fit, first, second)
    return replace(same, design=design_like(fit, same.statistics, fit.config, characteristics))
