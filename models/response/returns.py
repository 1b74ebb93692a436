"""ROI, marginal ROI and response curves, from the posterior draws.

Over the recorded periods, s the spend:
    roi_jc = sum_t contribution_jtc / sum_t s_jtc
    marginal_roi_jc = d/dh sum_t contribution_jtc at spend (1 + h) s, over sum_t s_jtc: the next money, spread as the
        recorded was
    response curve: sum_t contribution_jtc at spend m s, for multiples m
National figures are sums over markets, ratios of sums. What carries over beyond the last period is not counted. Without
spend there is neither: PanelError.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from models.response.contributions import coefficients, contribution_totals, curves_of
from models.response.fit import ResponseFit

MULTIPLES = tuple(np.linspace(0.0, 2.0, 11))


def spend_totals(fit: ResponseFit, channel_id: str) -> np.ndarray:
    """(J,) spend over each market's recorded periods. PanelError where spend is not known."""
    spend = fit.panel.require_spend(channel_id)
    return np.where(fit.panel.is_observed, np.nan_to_num(spend), 0.0).sum(axis=1)


def marginal_totals(fit: ResponseFit) -> np.ndarray:
    """Contributions gained per relative increase of all spend, over the recorded periods, (K, J, C)."""
    exposures = fit.scaling.exposures(fit.panel.intensity)
    curves, recorded = curves_of(fit, exposures), fit.panel.is_observed.astype(float)
    found = []
    for k in range(len(fit.draws)):
        at = curves.forward(fit.draws.curve[k])
        gained = np.einsum("cjt,cjt,jt->cj", at.by_adstock, at.adstock, recorded)
        found.append((coefficients(fit, k) * gained).T)
    return np.array(found)


def return_table(fit: ResponseFit) -> pd.DataFrame:
    """One row a channel, estimand (contribution, roi, marginal_roi) and market (market_id None: over all).

    Columns market_id, channel_id, estimand, mean, standard_deviation, interval_lower, interval_upper,
    probability_positive, unit. Channels without known spend have contribution rows alone; so have markets in which a
    channel spent nothing.
    """
    totals, marginal = contribution_totals(fit), marginal_totals(fit)
    money = fit.panel.currency_code if fit.panel.kpi_name == "gmv" else fit.panel.kpi_name
    rows = []
    for c, channel in enumerate(fit.scaling.channel_ids):
        estimates = {"contribution": (totals[..., c], None, money)}
        if fit.panel.has_spend[fit.panel.channel_index(channel)]:
            spend = spend_totals(fit, channel)
            unit = f"{money} per {fit.panel.currency_code}"
            estimates |= {
                "roi": (totals[..., c], spend, unit),
                "marginal_roi": (marginal[..., c], spend, unit),
            }
        for estimand, (amounts, spend, unit) in estimates.items():
            for market, draws in _by_market(fit, amounts, spend):
                rows.append((market, channel, estimand, *_summary(fit, draws), unit))
    columns = ["market_id", "channel_id", "estimand", "mean", "standard_deviation", "interval_lower"]
    return pd.DataFrame(rows, columns=[*columns, "interval_upper", "probability_positive", "unit"])


def response_curve(
    fit: ResponseFit, channel_id: str, multiples: Sequence[float] = MULTIPLES, market_id: str | None = None
) -> pd.DataFrame:
    """Contribution over the recorded periods had the channel spent a multiple of what it did, in the same pattern.

    Returns multiple, spend_amount, mean, interval_lower, interval_upper. Raises PanelError where spend is not known,
    ValueError for a multiple below 0.
    """
    if min(multiples) < 0:
        raise ValueError(f"a multiple is {min(multiples)}; spend cannot be below 0.")
    c = list(fit.scaling.channel_ids).index(str(fit.panel.channel_ids[fit.panel.channel_index(channel_id)]))
    chosen = (
        np.arange(len(fit.scaling.market_ids)) if market_id is None else [fit.panel.market_index(market_id)]
    )
    spend = float(spend_totals(fit, channel_id)[chosen].sum())
    exposures = fit.scaling.exposures(fit.panel.intensity)[c : c + 1, chosen]
    recorded = fit.panel.is_observed[chosen].astype(float)
    rows = []
    for multiple in multiples:
        curves = curves_of(fit, multiple * exposures)
        totals = []
        for k in range(len(fit.draws)):
            values = curves.forward(fit.draws.curve[k, c : c + 1]).values[0]
            totals.append(coefficients(fit, k)[c, chosen] @ (values * recorded).sum(axis=1))
        mean, _, lower, upper, _ = _summary(fit, np.array(totals))
        rows.append((multiple, multiple * spend, mean, lower, upper))
    return pd.DataFrame(
        rows, columns=["multiple", "spend_amount", "mean", "interval_lower", "interval_upper"]
    )


def _by_market(fit: ResponseFit, amounts: np.ndarray, spend: np.ndarray | None):
    """(market_id, draws) of each market and of all of them."""
    for j, market in enumerate(fit.scaling.market_ids):
        if spend is None:
            yield market, amounts[:, j]
        elif spend[j] > 0:
            yield market, amounts[:, j] / spend[j]
    total = amounts.sum(axis=1)
    yield None, total if spend is None else total / spend.sum()


def _summary(fit: ResponseFit, draws: np.ndarray) -> tuple[float, float, float, float, float]:
    tail = (1.0 - fit.config.interval_level) / 2.0
    lower, upper = np.quantile(draws, [tail, 1.0 - tail])
    return (
        float(draws.mean()),
        float(draws.std(ddof=1)),
        float(lower),
        float(upper),
        float((draws > 0).mean()),
    )
