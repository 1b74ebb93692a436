"""Effects in the outcome's unit by counterfactual prediction over the panel, with consumer-clustered error checks.

Population rows (channel, market, segment) average the consumers' own effects, draw by draw: fixed coefficients,
market effects and exact draws of consumer effects together. Their draws are then stretched about the mean by
error_ratio = max(1, consumer-clustered sd / model sd) of the fixed and market part (robust.py): a Gaussian posterior
is too narrow on skewed, heteroskedastic money (studies/consumer_effects.md, 10), so the wider is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.effect_rows import effect_row
from models.hbmmm.design import Design
from models.hbmmm.diagnostics import ess_bulk, r_hat, resample_size
from models.hbmmm.effect_draws import ConsumerMoments, ConsumerSummary, EffectWeights, group_effects
from models.hbmmm.exposure_weights import Estimand, ExposureSums, estimands_of
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.outcome import KPIS
from models.hbmmm.problem import build_problem
from models.hbmmm.robust import error_variances
from models.hbmmm.segments import Groups, population_groups
from models.hbmmm.statistics import SufficientStatistics

METHOD = "hbmmm"
MODEL_NAME = "mediamix-hbmmm"
MARKET_KEY = ("market_id",)
SEGMENT_KEY = ("segment_name", "segment_value", "consumers_count")
PRIMARY = {("slope", "panel_rows"), ("att_exposed", "exposed_rows"), ("contribution", "panel_rows")}
CONSUMER_ESTIMANDS = {("slope", "panel_rows"), ("contribution", "panel_rows")}


@dataclass(frozen=True, slots=True, eq=False)
class EffectTables:
    """Effect rows by level, with the artefact columns that a fit knows.

    channel_draws: draws of the channel rows before stretching, (rows, imputation, chain, draw), in row order.
    """

    channel: pd.DataFrame
    market: pd.DataFrame
    segment: pd.DataFrame
    consumer: pd.DataFrame
    channel_draws: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class EffectDraws:
    """Draws of one fit's effects, q = estimands x channels of them, channels running fastest.

    values (imputation, kept, G, q): effects of each group; totals (G, q): their denominators, 0 where a group has none.
    ratio (G, q): consumer-clustered over model error. consumers: moments of the consumers' own effects.
    """

    fit: HBMMMFit
    estimands: tuple[Estimand, ...]
    groups: Groups
    values: np.ndarray
    totals: np.ndarray
    ratio: np.ndarray
    consumers: ConsumerSummary

    def stretched(self) -> np.ndarray:
        """(S, G, q): draws of all data sets, about their mean as wide as the wider of both errors."""
        flat = self.values.reshape(-1, *self.totals.shape)
        mean = flat.mean(axis=0)
        return mean + (flat - mean) * np.fmax(self.ratio, 1.0)

    def quality(self) -> tuple[np.ndarray, np.ndarray]:
        """R-hat and effective sample size, (G, q) each; nan where they cannot be told."""
        fit, size = self.fit, self.totals.size
        chained = self.values.reshape(len(self.values), fit.config.chains, -1, size)
        rhat, ess = np.full(size, np.nan), np.full(size, np.nan)
        if fit.is_importance_sampled:
            ess[:] = resample_size(fit.sampler["importance_ess"], self.values.shape[1])
        elif chained.shape[2] >= 4 and not fit.is_approximate:
            rhat = r_hat(chained)
            ess = np.sum([ess_bulk(v) for v in chained], axis=0)
        return rhat.reshape(self.totals.shape), ess.reshape(self.totals.shape)


def compute_effects(fit: HBMMMFit, panel: Any) -> EffectTables:
    """Effects of every channel on the panel the model was fitted on. Raises PanelError for another panel."""
    design = fit.design
    sums = ExposureSums.from_panel(panel, fit.consumer_ids, design.modelled_channels, design.bends)
    statistics = SufficientStatistics.from_panel(panel, outcome=fit.config.outcome)
    return effects_of_statistics(fit, statistics, sums, panel.characteristics)


def effects_of_statistics(
    fit: HBMMMFit, statistics: SufficientStatistics, sums: ExposureSums, characteristics: pd.DataFrame
) -> EffectTables:
    """compute_effects without the rows: from the statistics the model was fitted on and sums of their exposures.

    sums: consumers and channels in the order of the fit. characteristics: observed ones (with gaps), by consumer_id.
    """
    estimands = estimands_of(sums, fit.config.outcome)
    if not fit.design.modelled_channels:
        return no_effects(fit, estimands)
    drawn = draw_effects(fit, statistics, estimands, characteristics)
    rhat, ess = drawn.quality()
    numbers = population_numbers(drawn.stretched(), fit.config.interval_level)
    numbers |= {"r_hat": rhat, "ess": ess, "error_ratio": drawn.ratio}
    channel_rows = int(drawn.groups.levels.index("channel"))
    shape = (len(fit.completed), fit.config.chains, -1)
    draws = drawn.values[:, :, channel_rows]
    return effect_tables(
        drawn,
        numbers,
        drawn.consumers.moments(),
        np.stack([draws[..., c].reshape(shape) for c in range(draws.shape[-1])]),
    )


def effect_tables(
    drawn: EffectDraws,
    numbers: dict[str, np.ndarray],
    consumers: ConsumerMoments,
    channel_draws: np.ndarray,
    learned_share: np.ndarray | None = None,
) -> EffectTables:
    """Tables by level from columns of numbers (G, q) and the moments of consumers.

    learned_share (N, k): where it is not that of the fit.
    """
    fit, estimands = drawn.fit, drawn.estimands
    table = _population_table(drawn, {"k_hat": np.full(drawn.totals.shape, fit.k_hat)} | numbers)
    learned = fit.learned_share if learned_share is None else learned_share
    return EffectTables(
        channel=_with_unmodelled(fit, estimands, _pick(table, "channel", ())),
        market=_pick(table, "market", MARKET_KEY),
        segment=_pick(table, "segment", SEGMENT_KEY),
        consumer=_consumer_table(fit, estimands, consumers, learned),
        channel_draws=channel_draws,
    )


def draw_effects(
    fit: HBMMMFit,
    statistics: SufficientStatistics,
    estimands: tuple[Estimand, ...],
    characteristics: pd.DataFrame,
) -> EffectDraws:
    """Draws of the estimands (weights in the order of the fit's consumers and channels) for every group."""
    channels = fit.design.modelled_channels
    groups = population_groups(fit, characteristics)
    scale_x, scale_log, log_columns = exposure_scales(fit.design)
    weights_x = np.concatenate([e.weight_x * scale_x for e in estimands], axis=1)  # (N, q)
    weights_log = np.concatenate([e.weight_log1p * scale_log for e in estimands], axis=1)
    denominators = np.concatenate(
        [np.ones_like(e.weight_x) if e.denominator is None else e.denominator for e in estimands], axis=1
    )
    totals = groups.matrix @ denominators
    is_total = np.repeat([e.denominator is None for e in estimands], len(channels))
    totals[:, is_total] = 1.0

    weights = EffectWeights(
        slope_columns=fit.design.slope_columns[1:],
        log_columns=tuple(log_columns),
        weights_x=weights_x,
        weights_log=weights_log,
    )
    members = groups.matrix.tocsc()
    draws, ratios = [], []
    summary = ConsumerSummary(
        columns=np.add.outer(
            np.array(_of_consumers(estimands)) * len(channels), np.arange(len(channels))
        ).ravel(),
        denominators=denominators,
        draws_count=len(fit.completed) * len(fit.kept_index),
    )
    for m, completed in enumerate(fit.completed):
        problem = build_problem(statistics, fit.design, completed)
        out = group_effects(
            problem,
            fit.kept_draws(m),
            fit.market_draws[m],
            [fit.config.seed, m + 1, 2],
            weights,
            members,
            summary,
            fit.config.worker_processes,
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            draws.append(np.moveaxis(out / totals[:, :, None], 2, 0))
        if fit.config.robust_errors:
            ratios.append(
                error_variances(
                    statistics,
                    problem,
                    fit.draws[m].mean(axis=(0, 1)),
                    fit.prior_sd,
                    groups.matrix,
                    weights_x,
                    weights_log,
                    totals,
                )
            )
    ratio = np.ones(totals.shape)
    if ratios:
        robust, model = np.mean(ratios, axis=0)
        ratio = np.sqrt(np.divide(robust, model, out=np.ones(totals.shape), where=model > 0))
    return EffectDraws(fit, estimands, groups, np.stack(draws), totals, ratio, summary)


def population_numbers(flat: np.ndarray, interval_level: float) -> dict[str, np.ndarray]:
    """Columns of an effect table, (G, q) each, from draws (S, G, q)."""
    lower, upper = np.quantile(flat, [(1 - interval_level) / 2, (1 + interval_level) / 2], axis=0)
    return {
        "mean": flat.mean(axis=0),
        "standard_deviation": flat.std(axis=0),
        "interval_lower": lower,
        "interval_upper": upper,
        "probability_positive": (flat > 0).mean(axis=0),
    }


def _of_consumers(estimands: tuple[Estimand, ...]) -> list[int]:
    return [i for i, e in enumerate(estimands) if (e.name, e.exposure_distribution) in CONSUMER_ESTIMANDS]


def exposure_scales(design: Design) -> tuple[np.ndarray, np.ndarray, list[int | None]]:
    """Money per scaled coefficient over raw exposure unit, for x and log1p(x / bend) (0 without), and its columns."""
    rows, y = design.row_columns, design.outcome_scale
    scale_x = np.array([y / rows[c].scale for c in design.slope_columns[1:]])
    columns = [design.row_index("exposure_log1p", c) for c in design.modelled_channels]
    scale_log = np.array([0.0 if c is None else y / rows[c].scale for c in columns])
    return scale_x, scale_log, columns


def _population_table(drawn: EffectDraws, numbers: dict[str, np.ndarray]) -> pd.DataFrame:
    fit, channels = drawn.fit, drawn.fit.design.modelled_channels
    rows = []
    for g, label in enumerate(drawn.groups.labels):
        for e, estimand in enumerate(drawn.estimands):
            for c, channel in enumerate(channels):
                j = e * len(channels) + c
                if not drawn.totals[g, j] > 0:
                    continue
                own = {name: values[g, j] for name, values in numbers.items()}
                rows.append(label | _row(fit, channel, estimand, **own))
    return pd.DataFrame(rows)


def _row(
    fit: HBMMMFit, channel: str, estimand: Estimand, reason: str | None = None, **numbers: Any
) -> dict[str, Any]:
    return effect_row(
        channel,
        estimand.name,
        estimand.exposure_distribution,
        estimand.unit,
        method=METHOD,
        model_name=MODEL_NAME,
        interval_level=fit.config.interval_level,
        horizon=estimand.horizon,
        is_primary=(estimand.name, estimand.exposure_distribution) in PRIMARY,
        not_identified_reason=reason,
        kpi=KPIS[fit.config.outcome],
        **numbers,
    )


def _with_unmodelled(fit: HBMMMFit, estimands: tuple[Estimand, ...], table: pd.DataFrame) -> pd.DataFrame:
    """Adds rows without a mean for channels the model had to leave out, with the reason."""
    reasons = dict(fit.design.dropped)
    rows = []
    for channel in fit.design.channel_ids:
        if channel in fit.design.modelled_channels:
            continue
        for estimand in estimands:
            reason = reasons.get(f"exposure[{channel}]", "left out of the model")
            rows.append(_row(fit, channel, estimand, reason))
    if rows:
        extra = pd.DataFrame(rows)
        table = pd.concat([table, extra.reindex(columns=table.columns)]) if len(table) else extra
    return table.reset_index(drop=True)


def no_effects(fit: HBMMMFit, estimands: tuple[Estimand, ...]) -> EffectTables:
    """Tables of a fit without any modelled channel: reasons by channel, no row elsewhere."""
    channel = _with_unmodelled(fit, estimands, pd.DataFrame())
    markets, segments, consumers = (
        channel.head(0).reindex(columns=[*key, *channel.columns])
        for key in (MARKET_KEY, SEGMENT_KEY, ("consumer_id", "learned_share"))
    )
    draws = np.empty((0, len(fit.completed), fit.config.chains, 0))
    return EffectTables(channel, markets, segments, consumers, draws)


def _pick(table: pd.DataFrame, level: str, key: tuple[str, ...]) -> pd.DataFrame:
    """Rows of one level with its own key columns, without those of the others."""
    drop = {"level", *MARKET_KEY, *SEGMENT_KEY}.difference(key)
    return table[table["level"] == level].drop(columns=list(drop)).reset_index(drop=True)


def _consumer_table(
    fit: HBMMMFit, estimands: tuple[Estimand, ...], moments: ConsumerMoments, learned_share: np.ndarray
) -> pd.DataFrame:
    """Rows by estimand, channel and consumer; words as categories, as they repeat for every consumer."""
    numbers = moments.numbers(fit.config.interval_level)
    chosen = [estimands[e] for e in _of_consumers(estimands)]
    n = len(fit.consumer_ids)
    rows = [_row(fit, channel, estimand) for estimand in chosen for channel in fit.design.modelled_channels]
    columns = {
        "consumer_id": np.tile(fit.consumer_ids, len(rows)),
        "learned_share": np.tile(learned_share[:, 1:].T.ravel(), len(chosen)),
    }
    for name in rows[0]:
        if name in numbers:
            columns[name] = numbers[name].T.ravel()
            continue
        values = [row[name] for row in rows]
        if all(isinstance(value, str) for value in values):
            words = sorted(set(values))
            codes = np.repeat([words.index(value) for value in values], n)
            columns[name] = pd.Categorical.from_codes(codes, categories=words)
        else:
            columns[name] = np.repeat(np.array(values), n)
    return pd.DataFrame(columns)
