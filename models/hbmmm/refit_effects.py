"""Channel effects of a refit, and nothing else: what placebos and robustness ask by the hundred.

refit_hbmmm with compute_effects goes over the consumers once for their moments and once for every market, segment and
consumer row; here only sums over all consumers are formed. The mean is the conditional one at the mode, so that the
difference of two refits holds no Monte-Carlo error; the standard deviation is that of SPREAD_DRAWS draws of the normal
approximation, stretched to consumer-clustered errors where these are wider, as published effects are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import ndtri

from models.hbmmm.config import HBMMMConfig
from models.hbmmm.consumers import ConsumerChunk, market_draws, over_consumers
from models.hbmmm.design import Design, with_slope_sizes
from models.hbmmm.effect_draws import EffectWeights
from models.hbmmm.effects import exposure_scales
from models.hbmmm.exposure_weights import ExposureSums, estimands_of
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.normal_approximation import sample_normal_approximation
from models.hbmmm.problem import Problem, build_problem, prior_table
from models.hbmmm.refit import refit_config, rows_of_fit
from models.hbmmm.robust import error_variances
from models.hbmmm.statistics import SufficientStatistics
from models.panel import ConsumerPanel

SPREAD_DRAWS = 200  # a standard deviation errs by some 5 %
COLUMNS = (
    "channel_id",
    "estimand",
    "exposure_distribution",
    "mean",
    "standard_deviation",
    "interval_lower",
    "interval_upper",
    "interval_level",
    "unit",
    "error_ratio",
    "reason",
)


@dataclass(frozen=True, slots=True, eq=False)
class ChannelWeights:
    """Weights of every estimand of every channel, and what names them.

    labels: (channel_id, estimand, exposure_distribution, unit) of the q effects, channels running fastest.
    totals (q,): the denominators, summed over consumers.
    """

    labels: tuple[tuple[str, str, str, str], ...]
    effects: EffectWeights
    totals: np.ndarray

    @classmethod
    def of(cls, design: Design, panel: ConsumerPanel, consumer_ids: np.ndarray) -> ChannelWeights:
        """Weights of the panel's rows of these consumers. Raises PanelError when the panel lacks one."""
        channels = design.modelled_channels
        estimands = estimands_of(ExposureSums.from_panel(panel, consumer_ids, channels, design.bends))
        scale_x, scale_log, log_columns = exposure_scales(design)
        totals = [
            np.ones(len(channels)) if e.denominator is None else e.denominator.sum(axis=0) for e in estimands
        ]
        return cls(
            labels=tuple((c, e.name, e.exposure_distribution, e.unit) for e in estimands for c in channels),
            effects=EffectWeights(
                slope_columns=design.slope_columns[1:],
                log_columns=tuple(log_columns),
                weights_x=np.concatenate([e.weight_x * scale_x for e in estimands], axis=1),
                weights_log=np.concatenate([e.weight_log1p * scale_log for e in estimands], axis=1),
            ),
            totals=np.concatenate(totals),
        )


def refit_channel_effects(
    fit: HBMMMFit,
    statistics: SufficientStatistics,
    panel: ConsumerPanel,
    *,
    config: HBMMMConfig | None = None,
    design: Design | None = None,
    completed: tuple[pd.DataFrame, ...] | None = None,
    imputations_count: int = 1,
    seed: int | None = None,
) -> pd.DataFrame:
    """Refit on statistics of consumers of `fit` and give COLUMNS, one row per channel and estimand.

    panel: rows behind the statistics (others' rows are passed over). config: other priors. design: other columns
    (refit.design_like). completed: the fit's completed characteristics with further columns, its rows and order.
    A channel that the design leaves out has a row with the reason and no numbers.
    Raises PanelError for consumers the fit does not know, ConvergenceError when no mode is found.
    """
    rows = rows_of_fit(fit, statistics)
    settings = refit_config(fit, config, imputations_count, seed)
    settings = replace(settings, draws=-(-SPREAD_DRAWS // settings.chains))
    design = design or with_slope_sizes(fit.design, statistics)
    weights = ChannelWeights.of(design, panel, statistics.consumer_ids)
    means, variances, ratios, start = [], [], [], None
    for m, frame in enumerate((completed or fit.completed)[:imputations_count]):
        problem = build_problem(statistics, design, frame.iloc[rows])
        prior_sd = prior_table(design, len(problem.strata), settings)[1]
        begin = _known_start(fit, problem) if start is None else start
        sample = sample_normal_approximation(problem, settings, settings.seed + m, begin)
        start = sample.mode
        draws = sample.draws.reshape(-1, len(start))
        means.append(channel_draws(problem, start[None], weights, None)[0])
        spread = channel_draws(problem, draws, weights, np.random.default_rng([settings.seed, m + 1, 3]))
        variances.append(spread.var(axis=0))
        ratios.append(error_ratios(statistics, problem, draws.mean(axis=0), prior_sd, weights, settings))
    ratio = np.mean(ratios, axis=0)
    sd = np.sqrt(np.mean(variances, axis=0) + np.var(means, axis=0)) * np.fmax(ratio, 1.0)
    mean, reach = np.mean(means, axis=0), ndtri((1 + settings.interval_level) / 2) * sd
    numbers = {"mean": mean, "standard_deviation": sd, "error_ratio": ratio}
    numbers |= {"interval_lower": mean - reach, "interval_upper": mean + reach}
    return effects_table(numbers, weights, design, settings)


def channel_draws(
    problem: Problem, parameters: np.ndarray, weights: ChannelWeights, rng: np.random.Generator | None
) -> np.ndarray:
    """Draws (S, q) of the weights' effects given global draws (S, d), consumer and market effects drawn exactly.

    With rng None their conditional means.
    """
    market = market_draws(problem, parameters, rng)
    seed = None if rng is None else [int(rng.integers(2**31 - 1))]
    channels = len(weights.effects.slope_columns)

    def sums_of(chunk: ConsumerChunk) -> np.ndarray:
        sums = np.empty((len(weights.labels), len(parameters)))
        for channel in range(channels):
            sums[channel::channels] = sum(
                np.tensordot(weight, chunk.coefficients[column], axes=(0, 1))
                for column, weight in weights.effects.of_channel(channel, chunk.consumers)
            )
        return sums

    total = sum(over_consumers(problem, parameters, market, seed, sums_of))
    with np.errstate(divide="ignore", invalid="ignore"):
        return total.T / weights.totals


def effects_table(
    numbers: dict[str, np.ndarray], weights: ChannelWeights, design: Design, config: HBMMMConfig
) -> pd.DataFrame:
    """COLUMNS from arrays (q,) named like them; channels the design leaves out get rows with the reason alone."""
    rows = []
    for q, label in enumerate(weights.labels):
        row = _row(*label, config)
        if weights.totals[q] > 0:
            rows.append(row | {name: float(values[q]) for name, values in numbers.items()})
        else:
            rows.append(row | {"reason": "no exposure in these rows"})
    reasons = dict(design.dropped)
    shapes = list(dict.fromkeys(label[1:] for label in weights.labels)) or [("slope", "panel_rows", "")]
    for channel in design.channel_ids:
        if channel not in design.modelled_channels:
            reason = reasons.get(f"exposure[{channel}]", "left out of the model")
            rows += [_row(channel, *shape, config) | {"reason": reason} for shape in shapes]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"reason": object})


def error_ratios(
    statistics: SufficientStatistics,
    problem: Problem,
    parameters: np.ndarray,
    prior_sd: np.ndarray,
    weights: ChannelWeights,
    config: HBMMMConfig,
) -> np.ndarray:
    """Consumer-clustered over model standard deviation of each effect (q,); ones where robust_errors is off."""
    totals = weights.totals[None]
    if not config.robust_errors or not weights.labels:
        return np.ones(len(weights.totals))
    everybody = sparse.csr_matrix(np.ones((1, problem.consumers_count)))
    robust, model = error_variances(
        statistics,
        problem,
        parameters,
        prior_sd,
        everybody,
        weights.effects.weights_x,
        weights.effects.weights_log,
        totals,
    )
    return np.sqrt(np.divide(robust, model, out=np.ones(totals.shape), where=model > 0))[0]


def _row(channel: str, estimand: str, distribution: str, unit: str, config: HBMMMConfig) -> dict[str, object]:
    empty = dict.fromkeys(
        ("mean", "standard_deviation", "interval_lower", "interval_upper", "error_ratio"), np.nan
    )
    named = {"channel_id": channel, "estimand": estimand, "exposure_distribution": distribution, "unit": unit}
    return named | empty | {"interval_level": config.interval_level, "reason": None}


def _known_start(fit: HBMMMFit, problem: Problem) -> np.ndarray | None:
    """The fit's posterior mean by parameter name, new coefficients at 0; None where a variance is new."""
    known = dict(zip(fit.parameter_names, fit.draws[0].mean(axis=(0, 1)).tolist(), strict=True))
    at = problem.layout
    start = np.array([known.get(name, np.nan) for name in problem.parameter_names])
    if np.isnan(start[: at.consumer.stop]).any() or np.isnan(start[at.market]).any():
        return None
    return np.nan_to_num(start, nan=0.0)
