"""The fit's answers as effect rows: contribution, roas and marginal_roas by channel, over all markets and of each one.

Over the recorded periods, E the model's expectation (contributions.py, returns.py):

    contribution   E[GMV | exposures as recorded] - E[GMV | the channel at zero, all other channels as recorded], money
    roas           contribution / spend
    marginal_roas  d/dh contribution at spend (1 + h) times the recorded one / spend: what the next money brings
    total_effect, direct_effect  the contribution under its causal name, where the declared graph gives it one

Where a prior allows positive effects only, probability_positive is not a number: no data could have moved it.
Carry-over counts, so the horizon is `total`; what reaches beyond the last period is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from models.effect_rows import KPI, effect_row
from models.errors import PanelError
from models.response.adjustment import Adjustment, ChannelIdentification
from models.response.contributions import contribution_totals
from models.response.diagnostics import draws_quality
from models.response.fit import ResponseFit
from models.response.returns import marginal_totals, spend_totals

METHOD, DISTRIBUTION, HORIZON = "response", "market_periods", "total"


def effect_tables(
    fit: ResponseFit,
    adjustment: Adjustment,
    *,
    model_name: str,
    is_primary: bool,
    reduced: Mapping[str, ResponseFit] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(channel_effects, market_channel_effects) of a fit; the latter with market_id.

    reduced : channel -> fit of the model without the channels that it drives (reduced_models.py)

    is_primary : of contribution and roas; marginal_roas, total_effect and direct_effect have no other method
    A channel without known spend has a roas and a marginal_roas row without numbers that say what is missing.
    """
    totals, marginal = contribution_totals(fit), marginal_totals(fit)
    by_channel: list[dict[str, object]] = []
    by_market: list[dict[str, object]] = []
    for c, channel in enumerate(fit.scaling.channel_ids):
        found = adjustment.channels[channel]
        rows = _Rows(fit, found, model_name)
        spend, no_spend = _spend(fit, channel)
        money = fit.panel.currency_code
        everywhere = totals[..., c].sum(axis=1)
        by_channel.append(rows.row("contribution", everywhere, money, is_primary=is_primary))
        if adjustment.has_graph:
            by_channel += _causal_rows(rows, found, everywhere, money, (reduced or {}).get(channel))
        for estimand, amounts, primary in (
            ("roas", totals[..., c], is_primary),
            ("marginal_roas", marginal[..., c], True),
        ):
            if spend is None:
                by_channel.append(rows.refused(estimand, no_spend, "ratio", is_primary=primary))
                continue
            draws = amounts.sum(axis=1) / spend.sum()
            by_channel.append(rows.row(estimand, draws, "ratio", is_primary=primary))
            for j in np.flatnonzero(spend > 0):
                one = rows.row(estimand, amounts[:, j] / spend[j], "ratio", is_primary=primary)
                by_market.append(one | {"market_id": fit.scaling.market_ids[j]})
        for j, market in enumerate(fit.scaling.market_ids):
            one = rows.row("contribution", totals[:, j, c], money, is_primary=is_primary)
            by_market.append(one | {"market_id": market})
    return pd.DataFrame(by_channel), pd.DataFrame(by_market)


def silent_channel_rows(
    channel_ids: dict[str, str],
    *,
    model_name: str,
    interval_level: float,
    currency_code: str,
    is_primary: bool,
) -> pd.DataFrame:
    """A contribution row without numbers for each channel that had to stay outside, channel -> reason."""
    rows = [
        _named(
            channel,
            "contribution",
            currency_code,
            model_name,
            interval_level,
            is_primary=is_primary,
            not_identified_reason=reason,
        )
        | {"is_identified": False}
        for channel, reason in sorted(channel_ids.items())
    ]
    return pd.DataFrame(rows)


class _Rows:
    """Rows of one channel: the same names, quality and verdict in each."""

    def __init__(self, fit: ResponseFit, found: ChannelIdentification, model_name: str) -> None:
        self._fit, self._found, self.model_name = fit, found, model_name
        self._level = fit.config.interval_level
        self._is_positive = fit.effects[fit.scaling.channel_ids.index(found.channel_id)].is_positive

    def row(
        self, estimand: str, draws: np.ndarray, unit: str, *, is_primary: bool, reason: str | None = None
    ) -> dict[str, object]:
        """draws (K,); reason: another one than that of the contribution."""
        tail = (1.0 - self._level) / 2.0
        lower, upper = np.quantile(draws, [tail, 1.0 - tail])
        r_hat, ess = draws_quality(draws[:, None], self._fit.config.chains)
        named = self._named(estimand, unit, is_primary, reason or self._found.reason)
        return named | {
            "mean": float(draws.mean()),
            "standard_deviation": float(draws.std(ddof=1)),
            "interval_lower": float(lower),
            "interval_upper": float(upper),
            "probability_positive": float("nan") if self._is_positive else float((draws > 0).mean()),
            "r_hat": float(r_hat[0]),
            "ess": float(ess[0]),
        }

    def refused(self, estimand: str, reason: str, unit: str, *, is_primary: bool) -> dict[str, object]:
        """A row without numbers."""
        return self._named(estimand, unit, is_primary, reason)

    def _named(self, estimand: str, unit: str, is_primary: bool, reason: str | None) -> dict[str, object]:
        named = _named(
            self._found.channel_id,
            estimand,
            unit,
            self.model_name,
            self._level,
            is_primary=is_primary,
            not_identified_reason=reason,
        )
        return named | {"is_identified": reason is None}


def _causal_rows(
    rows: _Rows, found: ChannelIdentification, draws: np.ndarray, unit: str, reduced: ResponseFit | None
) -> Iterator[dict[str, object]]:
    """The contribution under the name the graph gives it; a total effect it is not is refused, with the reason."""
    if reduced is not None:
        c = reduced.scaling.channel_ids.index(found.channel_id)
        total = contribution_totals(reduced)[..., c].sum(axis=1)
        yield _Rows(reduced, ChannelIdentification(found.channel_id, None), rows.model_name).row(
            "total_effect", total, unit, is_primary=True
        )
    elif found.total_reason is None:
        yield rows.row("total_effect", draws, unit, is_primary=True)
    else:
        yield rows.refused("total_effect", found.total_reason, unit, is_primary=True)
    if found.through and found.is_identified:
        yield rows.row("direct_effect", draws, unit, is_primary=True)
    elif found.through:
        yield rows.refused("direct_effect", str(found.reason), unit, is_primary=True)


def _named(
    channel: str, estimand: str, unit: str, model_name: str, interval_level: float, **others: object
) -> dict[str, object]:
    return effect_row(
        channel,
        estimand,
        DISTRIBUTION,
        unit,
        method=METHOD,
        interval_level=interval_level,
        model_name=model_name,
        horizon=HORIZON,
        kpi=KPI,
        **others,
    )


def _spend(fit: ResponseFit, channel: str) -> tuple[np.ndarray | None, str]:
    """Spend by market over the recorded periods, or what is missing."""
    try:
        spend = spend_totals(fit, channel)
    except PanelError as error:
        return None, str(error)
    if not spend.sum() > 0:
        return None, f"nothing was spent on {channel!r} in the periods with GMV"
    return spend, ""
