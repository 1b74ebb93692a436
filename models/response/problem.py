"""One fit's data in the model's units, and which parameters it has: built once, read by every evaluation.

Each parameter is a standard normal x and a prior that maps it to its value (priors.py). Their order:

    effects of the channels whose sign is fixed | kernel and curve parameters, channel by channel | market_spread of
    every channel | noise | noise ratios of the markets | shock_sd, shock_memory | trend_spread

One market has no spreads and ratios, and in the place of shock_sd the shocks' share of the variance (shock_share); its
noise is the sd of both, for their sum is what one series tells. J markets, T periods, C channels, Q common columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from models.errors import PanelError
from models.response.config import ResponseConfig
from models.response.lift_terms import LiftTerms, lift_terms
from models.response.lift_tests import LiftTest
from models.response.market_panel import MarketPanel
from models.response.priors import (
    DEFAULT_CONTRIBUTION,
    DEFAULT_ROI,
    ChannelPriors,
    EffectPrior,
    LogitNormal,
    LogNormal,
    Prior,
    transform_names,
    transform_priors,
)
from models.response.scaling import Scaling

SHOCK_MEMORY = LogitNormal(0.4, 1.2)
SHOCK_SHARE = LogitNormal(0.5, 1.5)


class Layout:
    """Names, slices and maps of the parameter vector (d,)."""

    def __init__(
        self,
        config: ResponseConfig,
        channel_ids: Sequence[str],
        effects: Sequence[EffectPrior],
        markets: Sequence[str],
    ) -> None:
        self.transforms = transform_names(config.kernel, config.saturation)
        names: list[str] = []
        priors: list[Prior] = []

        def block(entries: list[tuple[str, Prior]]) -> slice:
            start = len(names)
            names.extend(name for name, _ in entries)
            priors.extend(prior for _, prior in entries)
            return slice(start, len(names))

        self.effects = block(
            [(f"effect[{c}]", e.prior) for c, e in zip(channel_ids, effects, strict=True) if e.is_positive]
        )
        self.curves = block(
            [
                (f"{name}[{channel}]", prior)
                for channel in channel_ids
                for name, prior in zip(
                    self.transforms,
                    transform_priors(
                        config.kernel,
                        config.saturation,
                        config.priors.get(channel, ChannelPriors()).transforms,
                        config.max_lag,
                    ),
                    strict=True,
                )
            ]
        )
        several = len(markets) > 1
        self.spreads = block(
            [(f"market_spread[{c}]", config.market_spread) for c in channel_ids] if several else []
        )
        self.noise = block([("noise", config.noise)])
        ratios = several and config.noise_differs > 0
        self.ratios = block(
            [(f"noise_ratio[{m}]", LogNormal(1.0, config.noise_differs)) for m in markets] if ratios else []
        )
        has_shocks = config.shocks != "none"
        self.shock_sd = block([("shock_sd", config.shock_spread)] if has_shocks and several else [])
        self.shock_share = block([("shock_share", SHOCK_SHARE)] if has_shocks and not several else [])
        self.shock_memory = block(
            [("shock_memory", SHOCK_MEMORY)] if config.shocks == "autoregressive" else []
        )
        self.trend_spread = block(
            [("trend_spread", config.trend_spread)] if several and config.has_trend else []
        )
        self.names = tuple(names)
        self._is_log = np.array([isinstance(p, LogNormal) for p in priors])
        self._location = np.array([_location(p) for p in priors])
        self._scale = np.array([_scale(p) for p in priors])
        self._upper = np.array([getattr(p, "upper", 1.0) for p in priors])

    def __len__(self) -> int:
        return len(self.names)

    def values(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values of the parameters and their derivatives by x, both of x's shape (..., d)."""
        moved = self._location + self._scale * x
        logged = np.exp(np.where(self._is_log, moved, 0.0))
        share = expit(np.where(self._is_log, 0.0, moved))
        value = np.where(self._is_log, logged, self._upper * share)
        slope = np.where(
            self._is_log, self._scale * logged, self._scale * self._upper * share * (1.0 - share)
        )
        return value, slope


@dataclass(frozen=True, slots=True, eq=False)
class ResponseProblem:
    """outcome, recorded (J, T): scaled KPI less its level's prior mean, 0 where not recorded, and 1 or 0

    exposures (C, R, T): of the markets, then of what lift tests compare with
    reference (C, J): what an effect of 1 sums to over the recorded periods, in scaled KPI; 0: the channel did nothing
        there (for ROI: spent nothing, so that exposures without
        spend count for nothing). NaN for effects of kind coefficient, whose columns are not normalised.
    is_positive (C,); free_mean, free_sd (C,): of the normal priors of the others, (1, 1) where there is none
    years (T,): since the middle; common (J, T, Q): columns times the sd of their prior; common_names (Q,)
    """

    outcome: np.ndarray
    recorded: np.ndarray
    exposures: np.ndarray
    reference: np.ndarray
    effects: tuple[EffectPrior, ...]
    is_positive: np.ndarray
    free_mean: np.ndarray
    free_sd: np.ndarray
    years: np.ndarray
    common: np.ndarray
    common_names: tuple[str, ...]
    lifts: LiftTerms | None
    kpi_spread: float
    layout: Layout
    config: ResponseConfig

    @property
    def is_national(self) -> bool:
        """One market."""
        return self.outcome.shape[0] == 1


def build_problem(
    panel: MarketPanel, config: ResponseConfig, scaling: Scaling, tests: Sequence[LiftTest] = ()
) -> ResponseProblem:
    """Raises PanelError where the panel does not suit the scaling, or an ROI prior meets unknown spend."""
    scaling.require_panel(panel)
    unknown = sorted(set(config.priors) - set(scaling.channel_ids))
    if unknown:
        raise PanelError(
            f"priors are given for {', '.join(unknown)}; the panel's channels are {', '.join(scaling.channel_ids)}."
        )
    if panel.is_national and config.shocks == "independent":
        raise PanelError(
            "independent shocks of one market are noise by another name; take shocks 'autoregressive' or 'none'."
        )
    recorded = panel.is_observed.astype(float)
    kpi_mean = np.array(scaling.kpi_mean)
    scaled = np.nan_to_num(panel.kpi, nan=0.0) / kpi_mean[:, None]
    effects = tuple(_effect(panel, config, channel) for channel in scaling.channel_ids)
    exposures = scaling.exposures(panel.intensity)
    lifts = None
    if tests:
        lifts = lift_terms(panel, tests, exposures, kpi_mean)
        exposures = np.concatenate([exposures, lifts.exposures], axis=1)
    years, common, names = _common(panel, config, scaling)
    free = [(0.0, 1.0) if e.is_positive else (e.prior.mean, e.prior.sd) for e in effects]
    return ResponseProblem(
        outcome=(scaled - 1.0) * recorded,
        recorded=recorded,
        exposures=exposures,
        reference=np.array([_reference(panel, e, c, scaled, kpi_mean) for c, e in enumerate(effects)]),
        effects=effects,
        is_positive=np.array([e.is_positive for e in effects]),
        free_mean=np.array([mean for mean, _ in free]),
        free_sd=np.array([sd for _, sd in free]),
        years=years,
        common=common * recorded[..., None],
        common_names=names,
        lifts=lifts,
        kpi_spread=scaling.kpi_spread,
        layout=Layout(config, scaling.channel_ids, effects, scaling.market_ids),
        config=config,
    )


def common_columns(
    scaling: Scaling, config: ResponseConfig, controls: np.ndarray, period_starts: np.ndarray, middle: float
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Common columns (J, T, Q) times their priors' sd, and their names; middle: years at which trends are 0."""
    years = scaling.years(period_starts)
    columns, names = [], []
    if config.has_trend:
        columns.append(config.trend_sd * (years - middle))
        names.append("trend")
    for order in range(1, config.seasonality_order + 1):
        for label, wave in (("cos", np.cos), ("sin", np.sin)):
            columns.append(config.season_sd * wave(2.0 * np.pi * order * years))
            names.append(f"{label}_{order}")
    shape = (len(scaling.market_ids), len(years))
    fixed = [np.broadcast_to(column, shape) for column in columns]
    held = [config.control_sd * controls[..., q] for q in range(controls.shape[-1])]
    names += [f"control[{name}]" for name in scaling.control_names]
    if not names:  # the algebra wants a column
        fixed, names = [np.zeros(shape)], ["nothing"]
    return np.stack([*fixed, *held], axis=-1), tuple(names)


def _common(
    panel: MarketPanel, config: ResponseConfig, scaling: Scaling
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    years = scaling.years(panel.period_starts)
    middle = float(years.mean())
    columns, names = common_columns(scaling, config, scaling.controls(panel), panel.period_starts, middle)
    return years - middle, columns, names


def _effect(panel: MarketPanel, config: ResponseConfig, channel: str) -> EffectPrior:
    has_spend = bool(panel.has_spend[panel.channel_index(channel)])
    given = config.priors.get(channel, ChannelPriors()).effect
    if given is None:
        return DEFAULT_ROI if has_spend else DEFAULT_CONTRIBUTION
    if given.kind == "roi" and not has_spend:
        panel.require_spend(channel)  # raises, with what is missing
    return given


def _reference(
    panel: MarketPanel, effect: EffectPrior, c: int, scaled: np.ndarray, kpi_mean: np.ndarray
) -> np.ndarray:
    recorded = panel.is_observed
    if effect.kind == "roi":
        return (np.nan_to_num(panel.spend[..., c]) * recorded).sum(axis=1) / kpi_mean
    if effect.kind == "contribution":
        return (scaled * recorded).sum(axis=1)
    return np.full(len(kpi_mean), np.nan)


def _location(prior: Prior) -> float:
    if isinstance(prior, LogNormal):
        return float(np.log(prior.median))
    if isinstance(prior, LogitNormal):
        return float(logit(prior.median / prior.upper))
    raise ValueError(f"{prior} has no place among sampled parameters.")


def _scale(prior: Prior) -> float:
    return prior.log_sd if isinstance(prior, LogNormal) else prior.logit_sd
