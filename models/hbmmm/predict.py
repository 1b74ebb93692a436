"""Expected GMV of scenario rows from a saved fit: one consumer-period each, with given exposures.

A known consumer has the posterior of its own coefficients; an unknown one is a new draw from its market (or from a new
market), with the characteristics given in the row or the average ones. Own mean exposures stay at their observed
values (at the average for unknown consumers): the scenario changes this period, not who the consumer is. Period
effects are averaged over the panel's periods, since a scenario's period need not be among them. Intervals are of the
expectation (mean, interval_*) and of the outcome with its noise (predictive_*).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from models.errors import PanelError
from models.hbmmm.characteristics import characteristic_features, tidy_characteristics
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.problem import Layout
from models.transforms.concave import concave


def predict_scenario(fit: HBMMMFit | str | Path, scenario: pd.DataFrame) -> pd.DataFrame:
    """mean, interval_lower, interval_upper, predictive_lower, predictive_upper in money, rows as in `scenario`.

    scenario columns: every modelled channel (exposures >= 0); consumer_id, market_id, covariates and characteristics
    where known (a column called like a channel holds exposures). Raises PanelError naming columns that are missing
    or values that are not usable.
    """
    fit = fit if isinstance(fit, HBMMMFit) else HBMMMFit.load(fit)
    names = {c.covariate_name for c in fit.design.row_columns if c.kind == "covariate"}
    names = names.intersection(scenario.columns) - set(fit.design.channel_ids)
    covariates = {name: scenario[name].to_numpy(dtype=float) for name in names}
    return _predict(fit, scenario, _exposures(fit, scenario), covariates)


def gmv_over_panel(fit: HBMMMFit, panel: Any, rows_most: int = 200_000) -> tuple[float, float]:
    """GMV that the fit expects over (an even sample of) the panel's rows, and the GMV observed in them."""
    step = max(1, -(-panel.rows_count // rows_most))
    chosen = np.arange(0, panel.rows_count, step)
    expected = 0.0
    for rows in np.array_split(chosen, max(1, len(chosen) // 2000)):
        who = pd.DataFrame(
            {
                "consumer_id": panel.consumer_ids[panel.consumer_index[rows]],
                "market_id": panel.market_ids[panel.market_index[rows]],
            }
        )
        exposures = dict(zip(panel.channel_ids, panel.exposures[rows].T, strict=True))
        covariates = dict(zip(panel.covariate_names, panel.covariates[rows].T, strict=True))
        expected += float(_predict(fit, who, exposures, covariates)["mean"].sum())
    return expected, float(panel.gmv[chosen].sum())


def _predict(
    fit: HBMMMFit,
    scenario: pd.DataFrame,
    exposures: Mapping[str, np.ndarray],
    covariates: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Exposures and covariates come apart from the rest: a channel may be called like a covariate."""
    rows = _scaled_rows(fit, exposures, covariates, len(scenario))
    number = {c: i for i, c in enumerate(fit.consumer_ids.tolist())}
    ids = scenario["consumer_id"].to_list() if "consumer_id" in scenario else [None] * len(scenario)
    known = np.array([number.get(c, -1) for c in ids], dtype=np.int64)
    mean, sd, noise = np.empty(len(scenario)), np.empty(len(scenario)), np.empty(len(scenario))
    inside = known >= 0
    own_means = np.where(inside[:, None], fit.row_means[np.maximum(known, 0)], fit.row_means.mean(axis=0))
    rows[:, 1:] -= own_means[:, 1:]  # the model's columns are centred on the consumer (problem.centred_gram)
    for chosen, one in ((inside, _known), (~inside, _unknown)):
        if chosen.any():
            mean[chosen], sd[chosen], noise[chosen] = one(fit, scenario[chosen], rows[chosen], known[chosen])
    z = stats.norm.ppf((1 + fit.config.interval_level) / 2)
    wide = np.sqrt(sd**2 + noise**2)
    y = fit.design.outcome_scale
    return pd.DataFrame(
        {
            "mean": mean * y,
            "interval_lower": (mean - z * sd) * y,
            "interval_upper": (mean + z * sd) * y,
            "predictive_lower": (mean - z * wide) * y,
            "predictive_upper": (mean + z * wide) * y,
        },
        index=scenario.index,
    )


def _exposures(fit: HBMMMFit, scenario: pd.DataFrame) -> dict[str, np.ndarray]:
    lacking = [c for c in fit.design.modelled_channels if c not in scenario]
    if lacking:
        raise PanelError(
            f"the scenario lacks the channel columns {lacking}; give exposures (0 for none) for each."
        )
    out = {}
    for channel in fit.design.modelled_channels:
        values = scenario[channel].to_numpy(dtype=float)
        if not (np.isfinite(values) & (values >= 0)).all():
            raise PanelError(
                f"channel {channel!r} has exposures that are negative or not finite; counts are needed."
            )
        out[channel] = values
    return out


def _scaled_rows(
    fit: HBMMMFit, exposures: Mapping[str, np.ndarray], covariates: Mapping[str, np.ndarray], rows_count: int
) -> np.ndarray:
    """Scaled row-level columns (n, pD); absent covariates at the panel's mean, periods at their share of rows."""
    columns = fit.design.row_columns
    share = fit.row_means.mean(axis=0)
    rows = np.empty((rows_count, len(columns)))
    for j, column in enumerate(columns):
        if column.kind == "intercept":
            rows[:, j] = 1.0
        elif column.kind == "exposure":
            rows[:, j] = exposures[str(column.channel_id)] / column.scale
        elif column.kind == "exposure_log1p":
            rows[:, j] = concave(exposures[str(column.channel_id)], column.bend) / column.scale
        elif column.kind == "covariate" and column.covariate_name in covariates:
            values = covariates[column.covariate_name]
            rows[:, j] = (np.where(np.isfinite(values), values, column.centre) - column.centre) / column.scale
        else:
            rows[:, j] = 0.0 if column.kind == "covariate" else share[j]
    return rows


def _known(fit: HBMMMFit, scenario: pd.DataFrame, rows: np.ndarray, consumer: np.ndarray) -> tuple:
    """Mean, sd and noise sd from the stored moments of the consumer's coefficients and the covariate draws."""
    moderated = fit.coefficient_mean.shape[1]
    own = rows[:, :moderated]
    mean = (own * fit.coefficient_mean[consumer]).sum(axis=1)
    variance = np.einsum("na,nab,nb->n", own, fit.coefficient_covariance[consumer], own)
    rest = _rest_draws(fit, rows, fit.market_index[consumer])
    return (
        mean + rest.mean(axis=0),
        np.sqrt(np.maximum(variance + rest.var(axis=0), 0.0)),
        _noise(fit)[fit.stratum_index[consumer]],
    )


def _unknown(fit: HBMMMFit, scenario: pd.DataFrame, rows: np.ndarray, consumer: np.ndarray) -> tuple:
    """Mean, sd and noise sd of a consumer never seen: fixed part and market by draws, own effects by their prior."""
    design = fit.design
    width, moderated = len(design.row_columns), fit.coefficient_mean.shape[1]
    position = {m: j for j, m in enumerate(fit.market_ids.tolist())}
    markets = scenario["market_id"].to_list() if "market_id" in scenario else [None] * len(rows)
    market = np.array([position.get(m, -1) for m in markets], dtype=np.int64)
    frame = tidy_characteristics(
        scenario[[c for c in {c.source for c in design.characteristics} if c in scenario]].reset_index(
            drop=True
        ),
        np.arange(len(rows)),
    )
    features = np.zeros((len(rows), len(design.feature_names)))
    features[:, : len(design.characteristics)] = characteristic_features(design.characteristics, frame)
    owners = np.array([c for c, _ in design.moderators], dtype=np.int64)
    numbers = np.array([f for _, f in design.moderators], dtype=np.int64)
    fixed_rows = np.concatenate([rows[:, :moderated], rows[:, owners] * features[:, numbers]], axis=1)
    slopes, layout = list(design.slope_columns), Layout.of(design, len(fit.strata))
    k = len(slopes)
    p = len(design.fixed_names)
    values, spread = [], []
    for m in range(len(fit.completed)):
        kept = fit.kept_draws(m)
        fixed = np.concatenate([kept[:, -p:][:, :moderated], kept[:, -p:][:, width:]], axis=1)
        part = fixed @ fixed_rows.T
        effect = np.where(market[None, :, None] >= 0, fit.market_draws[m][:, np.maximum(market, 0), :k], 0.0)
        values.append(part + np.einsum("snk,nk->sn", effect, rows[:, slopes]))
        factors = np.stack([layout.consumer_factor(one) for one in kept])
        own = np.einsum("na,sab->snb", rows[:, slopes], factors) ** 2
        new_market = np.zeros((len(kept), len(rows)))
        if design.has_market_level:
            scale = kept[:, layout.market]
            columns = list(design.market_columns)
            new_market = ((scale[:, None, :] * rows[None, :, columns]) ** 2).sum(axis=2) * (market < 0)
        spread.append(own.sum(axis=2) + new_market)
    total = np.concatenate(values) + _rest_draws(fit, rows, market)
    variance = total.var(axis=0) + np.concatenate(spread).mean(axis=0)
    shares = np.bincount(fit.stratum_index, minlength=len(fit.strata)) / len(fit.stratum_index)
    return total.mean(axis=0), np.sqrt(variance), np.full(len(rows), np.sqrt(shares @ _noise(fit) ** 2))


def _rest_draws(fit: HBMMMFit, rows: np.ndarray, market: np.ndarray) -> np.ndarray:
    """Draws of covariates and period effects, (all kept draws, n): columns without moderators."""
    design = fit.design
    width, moderated, p = len(design.row_columns), fit.coefficient_mean.shape[1], len(design.fixed_names)
    covariates = list(design.market_columns[len(design.slope_columns) :])
    out = []
    for m in range(len(fit.completed)):
        fixed = fit.kept_draws(m)[:, -p:][:, moderated:width]
        part = fixed @ rows[:, moderated:width].T
        if covariates:
            effect = fit.market_draws[m][:, np.maximum(market, 0), len(design.slope_columns) :]
            effect = np.where(market[None, :, None] >= 0, effect, 0.0)
            part += np.einsum("snq,nq->sn", effect, rows[:, covariates])
        out.append(part)
    return np.concatenate(out)


def _noise(fit: HBMMMFit) -> np.ndarray:
    """Posterior root mean square noise of each stratum, (strata,), scaled."""
    return np.sqrt(np.exp(2.0 * fit.draws[..., : len(fit.strata)]).mean(axis=(0, 1, 2)))
