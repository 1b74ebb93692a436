"""From the market marts to a panel that the response model can be fitted to, and a list of what had to stay outside.

Raw marts hold what a model cannot use: a market whose GMV sums to nothing, a channel that was never active, months of
purchases that consumers' home markets were chosen by, hundreds of tiny markets. Nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.panel_columns import require_columns
from models.response.coarser_panel import weeks_of_days
from models.response.market_panel import MarketPanel

FEWEST_PERIODS, MOST_DAYS = 20, 400
OTHER_MARKETS = "_other_markets"
DERIVED = "transactions"
_KPI = "gmv_net_amount"
_MEDIA_KEY = ["market_id", "channel_id", "period_start_date"]
_MEDIA_SUMS = ["exposures_count", "intensity", "spend_amount", "reach_count"]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedMarkets:
    """panel: what is fitted. left_out: kind (market, market_periods, channel, periods), name, reason, one row each.

    merged_markets: ids that OTHER_MARKETS is the sum of.
    """

    panel: MarketPanel
    left_out: pd.DataFrame
    merged_markets: tuple[str, ...]


def prepare_market_panel(
    market_periods: pd.DataFrame,
    market_channel_periods: pd.DataFrame,
    market_covariate_periods: pd.DataFrame,
    mediator_periods: pd.DataFrame,
    *,
    currency_code: str,
    period: str,
    population: Mapping[str, float] | None = None,
    pre_period_end: date | None = None,
    markets_most: int | None = None,
) -> PreparedMarkets:
    """The panel of the marts of these names.

    pre_period_end : GMV summed over consumers counts from then on only, because their home markets were chosen by what
        they bought before: a market would seem to lose whoever had bought elsewhere. Recorded outcomes count in whole.
    markets_most : where there are more, those with most GMV stay and the others become one market, their sum
    Raises PanelError as MarketPanel.from_frames does, and where fewer than 20 periods have a KPI.
    """
    require_columns(market_periods, ("market_id", "period_start_date", "source_kind", _KPI), "market_periods")
    left_out: list[tuple[str, str, str]] = []
    outcomes = market_periods.assign(**{_KPI: market_periods[_KPI].astype("float64")})
    outcomes = outcomes[outcomes[_KPI].notna()].assign(market_id=lambda rows: rows["market_id"].astype(str))
    outcomes = _after_pre_period(outcomes, pre_period_end, left_out)
    outcomes = _with_sales(outcomes, left_out)
    media = market_channel_periods.assign(
        **{name: market_channel_periods[name].astype(str) for name in ("market_id", "channel_id")}
    )
    merged: tuple[str, ...] = ()
    known = dict(population or {})
    series = {"covariate": market_covariate_periods, "mediator": mediator_periods}
    if markets_most is not None and outcomes["market_id"].nunique() > markets_most:
        merged = _smallest(outcomes, markets_most, left_out)
        name = _free_name(outcomes["market_id"])
        outcomes = _merged_outcomes(outcomes[~outcomes["market_id"].isin(_names(left_out))], merged, name)
        media = _merged_media(media, merged, name)
        series = {kind: _merged_series(frame, kind, merged, name) for kind, frame in series.items()}
        known[name] = float(np.sum([known.get(market, np.nan) for market in merged]))
    media = _with_activity(media, outcomes, left_out)
    panel = MarketPanel.from_frames(
        outcomes,
        media,
        series["covariate"],
        series["mediator"],
        currency_code=currency_code,
        period=period,
        population=known,
    )
    if panel.period == "day" and len(panel.period_starts) > MOST_DAYS:
        panel = weeks_of_days(panel)
        left_out.append(("periods", "day", f"more than {MOST_DAYS} days are fitted as weeks, sums of seven"))
    recorded = int(panel.is_observed.any(axis=0).sum())
    if recorded < FEWEST_PERIODS:
        raise PanelError(
            f"{recorded} periods have GMV; a response model needs {FEWEST_PERIODS} to tell carry-over and seasons from "
            "marketing. Land more periods, or count in shorter ones."
        )
    return PreparedMarkets(panel, pd.DataFrame(left_out, columns=["kind", "name", "reason"]), merged)


def varying_controls(panel: MarketPanel) -> tuple[str, ...]:
    """Names of the panel's controls that differ between recorded market-periods: the others are one with the level."""
    values = panel.controls[panel.is_observed]
    least = 1e-12 * np.maximum(1.0, np.abs(values).max(axis=0, initial=0.0))
    return tuple(np.array(panel.control_names, dtype=object)[values.std(axis=0) > least])


def _after_pre_period(
    outcomes: pd.DataFrame, pre_period_end: date | None, left_out: list[tuple[str, str, str]]
) -> pd.DataFrame:
    if pre_period_end is None or outcomes.empty:
        return outcomes
    before = pd.to_datetime(outcomes["period_start_date"]) < pd.Timestamp(pre_period_end)
    before &= outcomes["source_kind"].astype(str).eq(DERIVED)
    if before.any():
        reason = "pre-period: consumers' home markets were chosen by these purchases"
        left_out.append(("market_periods", str(int(before.sum())), reason))
    return outcomes[~before]


def _with_sales(outcomes: pd.DataFrame, left_out: list[tuple[str, str, str]]) -> pd.DataFrame:
    mean = outcomes.groupby("market_id", observed=True)[_KPI].mean()
    for market in mean.index[mean <= 0]:
        left_out.append(
            ("market", str(market), f"its GMV is {mean[market]:g} on average; effects are shares of it")
        )
    return outcomes[outcomes["market_id"].isin(mean.index[mean > 0])]


def _with_activity(
    media: pd.DataFrame, outcomes: pd.DataFrame, left_out: list[tuple[str, str, str]]
) -> pd.DataFrame:
    """Rows of channels that were active in a market with a KPI, and not only after its last period."""
    if outcomes.empty or media.empty:
        return media
    last = pd.to_datetime(outcomes["period_start_date"]).max()
    counts = media["market_id"].isin(outcomes["market_id"].unique())
    counts &= pd.to_datetime(media["period_start_date"]) <= last
    active = media[counts].groupby("channel_id")["intensity"].sum().astype(float)
    silent = sorted(set(media["channel_id"]) - set(active.index[active > 0]))
    left_out += [("channel", channel, "no exposure in any market with GMV") for channel in silent]
    return media[~media["channel_id"].isin(silent)]


# ------------------------------------------------------------------------------- merging
def _smallest(
    outcomes: pd.DataFrame, markets_most: int, left_out: list[tuple[str, str, str]]
) -> tuple[str, ...]:
    """The markets beyond the largest; those among them with gaps are left out, because a sum would jump there."""
    total = outcomes.groupby("market_id")[_KPI].agg(["sum", "size"]).sort_values("sum", ascending=False)
    small = total.iloc[markets_most - 1 :]
    whole = small.index[small["size"] == total["size"].max()]
    for market in sorted(set(small.index) - set(whole)):
        left_out.append(("market", market, "too small to stand alone, and its GMV has gaps"))
    return tuple(sorted(whole))


def _names(left_out: list[tuple[str, str, str]]) -> set[str]:
    return {name for kind, name, _ in left_out if kind == "market"}


def _free_name(market_ids: pd.Series) -> str:
    name, taken = OTHER_MARKETS, set(market_ids)
    while name in taken:
        name = "_" + name
    return name


def _renamed(frame: pd.DataFrame, merged: tuple[str, ...], name: str) -> pd.DataFrame:
    ids = frame["market_id"].astype(str)
    return frame.assign(market_id=ids.where(~ids.isin(merged), name))


def _merged_outcomes(outcomes: pd.DataFrame, merged: tuple[str, ...], name: str) -> pd.DataFrame:
    return (
        _renamed(outcomes, merged, name)
        .groupby(["market_id", "period_start_date"], as_index=False)
        .agg({_KPI: "sum", "source_kind": "first"})
    )


def _merged_media(media: pd.DataFrame, merged: tuple[str, ...], name: str) -> pd.DataFrame:
    """Sums; unknown where one part is unknown. Reach of several markets adds up, frequency does not."""
    rows = _renamed(media, merged, name)
    rows = rows.assign(**{column: rows[column].astype("float64") for column in _MEDIA_SUMS})
    groups = rows.groupby(_MEDIA_KEY, as_index=False)
    summed = groups[_MEDIA_SUMS].sum()
    for column in _MEDIA_SUMS:
        unknown = rows.assign(gap=rows[column].isna()).groupby(_MEDIA_KEY)["gap"].any().to_numpy()
        summed.loc[unknown, column] = np.nan
    single = groups.agg({"currency_code": "first", "frequency": "first"})
    summed["currency_code"] = single["currency_code"]
    summed["frequency"] = single["frequency"].astype("float64").where(summed["market_id"].ne(name).to_numpy())
    return summed


def _merged_series(frame: pd.DataFrame, kind: str, merged: tuple[str, ...], name: str) -> pd.DataFrame:
    """Means over the markets that became one."""
    rows = _renamed(frame, merged, name)
    value = f"{kind}_value"
    rows = rows.assign(**{value: rows[value].astype("float64")})
    keys = ["market_id", f"{kind}_name", "period_start_date"]
    return rows.groupby(keys, as_index=False, observed=True)[value].mean()
