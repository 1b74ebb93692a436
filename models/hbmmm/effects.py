"""Effects in money by counterfactual prediction over the observed panel, with consumer-clustered error checks.

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
from models.hbmmm.diagnostics import ess_bulk, r_hat
from models.hbmmm.effect_draws import ConsumerSummary, EffectWeights, group_effects
from models.hbmmm.exposure_weights import Estimand, ExposureSums, estimands_of
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.problem import build_problem
from models.hbmmm.robust import error_variances
from models.hbmmm.segments import Groups, population_groups
from models.hbmmm.statistics import SufficientStatistics

METHOD = "hbmmm"
MODEL_NAME = "mediamix-hbmmm"
MARKET_KEY = ("market_id",)
SEGMENT_KEY = ("segment_name", "segment_value", "consumers_count")
PRIMARY = {("slope", "panel_rows"), ("att_exposed", "exposed_rows"), ("contribution", "panel_rows")}
CONSUMER_ESTIMANDS = (0, 3)  # slope over panel rows, contribution


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


def compute_effects(fit: HBMMMFit, panel: Any) -> EffectTables:
    """Effects of every channel on the panel the model was fitted on. Raises PanelError for another panel."""
    sums = ExposureSums.from_panel(panel, fit.consumer_ids, fit.design.modelled_channels)
    return effects_of_statistics(fit, SufficientStatistics.from_panel(panel), sums, panel.characteristics)


def effects_of_statistics(
    fit: HBMMMFit, statistics: SufficientStatistics, sums: ExposureSums, characteristics: pd.DataFrame
) -> EffectTables:
    """compute_effects without the rows: from the statistics the model was fitted on and sums of their exposures.

    sums: consumers and channels in the order of the fit. characteristics: observed ones (with gaps), by consumer_id.
    """
    channels = fit.design.modelled_channels
    estimands = estimands_of(sums)
    if not channels:
        return _no_effects(fit, estimands)
    groups = population_groups(fit, characteristics)
    scale_x, scale_log, log_columns = exposure_scales(fit.design)
    weights_x = np.concatenate([e.weight_x * scale_x for e in estimands], axis=1)  # (N, 4 C)
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
        columns=np.add.outer(np.array(CONSUMER_ESTIMANDS) * len(channels), np.arange(len(channels))).ravel(),
        denominators=denominators,
        draws_count=len(fit.completed) * len(fit.kept_index),
    )
    for m, completed in enumerate(fit.completed):
        problem = build_problem(statistics, fit.design, completed)
        out = group_effects(
            problem,
            fit.kept_draws(m),
            fit.market_draws[m],
            [fit.config.seed, m, 1],
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
    values = np.stack(draws)  # (imputation, kept, groups, 4 C)
    ratio = np.ones(totals.shape)
    if ratios:
        robust, model = np.mean(ratios, axis=0)
        ratio = np.sqrt(np.divide(robust, model, out=np.ones(totals.shape), where=model > 0))
    table = _population_table(fit, groups, estimands, values, totals, ratio)
    channel_rows = int(groups.levels.index("channel"))
    shape = (len(fit.completed), fit.config.chains, -1)
    channel_draws = np.stack([values[:, :, channel_rows, c].reshape(shape) for c in range(values.shape[-1])])
    return EffectTables(
        channel=_with_unmodelled(fit, estimands, _pick(table, "channel", ())),
        market=_pick(table, "market", MARKET_KEY),
        segment=_pick(table, "segment", SEGMENT_KEY),
        consumer=_consumer_table(fit, estimands, summary),
        channel_draws=channel_draws,
    )


def exposure_scales(design: Design) -> tuple[np.ndarray, np.ndarray, list[int | None]]:
    """Money per scaled coefficient over raw exposure unit, for x and log1p(x) (0 without), and log1p columns."""
    rows, y = design.row_columns, design.outcome_scale
    scale_x = np.array([y / rows[c].scale for c in design.slope_columns[1:]])
    columns = [design.row_index("exposure_log1p", c) for c in design.modelled_channels]
    scale_log = np.array([0.0 if c is None else y / rows[c].scale for c in columns])
    return scale_x, scale_log, columns


def _population_table(
    fit: HBMMMFit,
    groups: Groups,
    estimands: tuple[Estimand, ...],
    values: np.ndarray,
    totals: np.ndarray,
    ratio: np.ndarray,
) -> pd.DataFrame:
    level = fit.config.interval_level
    flat = values.reshape(-1, *totals.shape)
    mean = flat.mean(axis=0)
    stretch = np.fmax(ratio, 1.0)
    flat = mean + (flat - mean) * stretch
    sd = flat.std(axis=0)
    lower, upper = np.quantile(flat, [(1 - level) / 2, (1 + level) / 2], axis=0)
    positive = (flat > 0).mean(axis=0)
    chained = values.reshape(len(values), fit.config.chains, -1, totals.size)
    rhat, ess = np.full(totals.size, np.nan), np.full(totals.size, np.nan)
    if fit.is_importance_sampled:
        ess[:] = min(float(fit.sampler["importance_ess"].sum()), chained[..., 0].size)
    elif chained.shape[2] >= 4 and not fit.is_approximate:
        rhat = r_hat(chained)
        ess = np.sum([ess_bulk(v) for v in chained], axis=0)
    channels = fit.design.modelled_channels
    rows = []
    for g, label in enumerate(groups.labels):
        for e, estimand in enumerate(estimands):
            for c, channel in enumerate(channels):
                j = e * len(channels) + c
                if not totals[g, j] > 0:
                    continue
                row = _row(
                    fit,
                    channel,
                    estimand,
                    mean=mean[g, j],
                    standard_deviation=sd[g, j],
                    interval_lower=lower[g, j],
                    interval_upper=upper[g, j],
                    probability_positive=positive[g, j],
                    r_hat=rhat.reshape(totals.shape)[g, j],
                    ess=ess.reshape(totals.shape)[g, j],
                    k_hat=fit.k_hat,
                    error_ratio=ratio[g, j],
                )
                rows.append(label | row)
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
        is_primary=(estimand.name, estimand.exposure_distribution) in PRIMARY,
        not_identified_reason=reason,
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


def _no_effects(fit: HBMMMFit, estimands: tuple[Estimand, ...]) -> EffectTables:
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


def _consumer_table(fit: HBMMMFit, estimands: tuple[Estimand, ...], summary: ConsumerSummary) -> pd.DataFrame:
    """Rows by estimand, channel and consumer; words as categories, as they repeat for every consumer."""
    numbers = summary.numbers(fit.config.interval_level)
    chosen = [estimands[e] for e in CONSUMER_ESTIMANDS]
    n = len(fit.consumer_ids)
    rows = [_row(fit, channel, estimand) for estimand in chosen for channel in fit.design.modelled_channels]
    columns = {
        "consumer_id": np.tile(fit.consumer_ids, len(rows)),
        "learned_share": np.tile(fit.learned_share[:, 1:].T.ravel(), len(chosen)),
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
