"""A plan as a table of rows becomes a Scenario: planned spend into exposures, planned covariates into controls.

    market_id, period_start_date, spend[tv], intensity[radio], control[price], ...

A row a market and period. Each channel has one of the two columns. Spend becomes exposures at the price of an exposure
that was paid in the market, else in all markets: media that get dearer are not foreseen.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.panel_columns import days, refuse_duplicates, require_columns, texts
from models.response.fit import ResponseFit
from models.response.scenarios import Forecast, Scenario, predict

KEY = ("market_id", "period_start_date")


def plan_columns(fit: ResponseFit) -> tuple[tuple[str, ...], ...]:
    """For every column of a plan the names it may have: a channel's spend or intensity, a control's value."""
    channels = []
    for channel in fit.scaling.channel_ids:
        known = fit.panel.has_spend[fit.panel.channel_index(channel)]
        channels.append((f"spend[{channel}]",) * bool(known) + (f"intensity[{channel}]",))
    return (*channels, *((f"control[{name}]",) for name in fit.scaling.control_names))


def scenario_of_plan(fit: ResponseFit, plan: pd.DataFrame) -> Scenario:
    """The plan in the fit's order of markets and channels.

    Raises PanelError for missing, doubled or unknown columns and keys, markets or periods that lack a row, spend of a
    channel whose spend the fit does not know, and values that are not finite or (channels) negative.
    """
    require_columns(plan, KEY, "the plan")
    refuse_duplicates(plan, list(KEY), "the plan")
    chosen = [_one_of(plan, names) for names in plan_columns(fit)]
    unknown = sorted(set(map(str, plan.columns)) - {*KEY, *chosen})
    if unknown:
        raise PanelError(
            f"the plan has the columns {', '.join(unknown)}; the fit takes "
            f"{', '.join(' or '.join(names) for names in plan_columns(fit))}."
        )
    starts = np.unique(days(plan["period_start_date"]))
    market = _positions(fit, texts(plan["market_id"], "market_id of the plan"))
    expected = len(fit.scaling.market_ids) * len(starts)
    if len(plan) != expected:
        raise PanelError(
            f"the plan has {len(plan)} rows where {len(fit.scaling.market_ids)} markets x {len(starts)} periods make "
            f"{expected}; plan every market in every period, 0 where nothing is spent."
        )
    when = np.searchsorted(starts, days(plan["period_start_date"]))
    grids = []
    for name in chosen:
        values = np.empty((len(fit.scaling.market_ids), len(starts)))
        values[market, when] = plan[name].to_numpy(dtype=float)
        grids.append(_as_intensity(fit, name, values))
    count = len(fit.scaling.channel_ids)
    controls = np.stack(grids[count:], axis=-1) if len(grids) > count else None
    if controls is not None and not np.isfinite(controls).all():
        raise PanelError("the plan's controls hold values that are not finite; plan a value for every row.")
    return Scenario(starts, np.stack(grids[:count], axis=-1), controls)


def forecast_of_plan(fit: ResponseFit, plan: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """GMV under the plan: market_id (None: all), period_start_date, mean, interval_lower, interval_upper, and the mean
    contribution[channel] of every channel. Errors as in scenario_of_plan and scenarios.predict."""
    forecast = predict(fit, scenario_of_plan(fit, plan), seed)
    return forecast.table.assign(**_mean_contributions(fit, forecast))


def _mean_contributions(fit: ResponseFit, forecast: Forecast) -> dict[str, np.ndarray]:
    """In the order of forecast.table: markets, then their sum; periods within."""
    mean = forecast.contributions.mean(axis=0)
    whole = np.concatenate([mean, mean.sum(axis=0, keepdims=True)])
    return {
        f"contribution[{channel}]": whole[..., c].ravel() for c, channel in enumerate(fit.scaling.channel_ids)
    }


def _one_of(plan: pd.DataFrame, names: tuple[str, ...]) -> str:
    given = [name for name in names if name in plan.columns]
    if len(given) != 1:
        raise PanelError(
            f"the plan has {' and '.join(given) or 'no column'} where one of {' or '.join(names)} belongs."
        )
    return given[0]


def _positions(fit: ResponseFit, market_ids: np.ndarray) -> np.ndarray:
    known = {market: j for j, market in enumerate(fit.scaling.market_ids)}
    strange = sorted(set(map(str, market_ids)) - set(known))
    if strange:
        raise PanelError(f"the plan names the markets {', '.join(strange)}, which the fit does not have.")
    return np.array([known[str(market)] for market in market_ids], dtype=int)


def _as_intensity(fit: ResponseFit, name: str, values: np.ndarray) -> np.ndarray:
    if not name.startswith("spend["):
        return values
    c = fit.panel.channel_index(name.removeprefix("spend[").removesuffix("]"))
    spend = np.nansum(fit.panel.spend[..., c], axis=1)
    shown = fit.panel.intensity[..., c].sum(axis=1)
    price = np.full(len(spend), spend.sum() / shown.sum())
    np.divide(spend, shown, out=price, where=(spend > 0) & (shown > 0))
    return values / price[:, None]
