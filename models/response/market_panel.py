"""The market panel: validated arrays of what was spent and shown where and when, and what was sold.

The response model and everything after it takes a `MarketPanel` and nothing else. A national series is one market.
What is not recorded stays apart from what is zero: a market, channel and period without a row had no activity, a null
spend is unknown. Activity before the first KPI is kept, because it carries over into it; activity after the last KPI
is a plan, not data, and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.panel_columns import (
    PERIODS,
    calendar_grid,
    days,
    positions,
    refuse_duplicates,
    require_columns,
    texts,
)

MARKET_PERIOD_COLUMNS = ("market_id", "period_start_date")
CHANNEL_PERIOD_COLUMNS = (
    "market_id",
    "channel_id",
    "period_start_date",
    "exposures_count",
    "intensity",
    "spend_amount",
    "currency_code",
    "reach_count",
    "frequency",
)
COVARIATE_COLUMNS = ("market_id", "covariate_name", "period_start_date", "covariate_value")
MEDIATOR_COLUMNS = ("market_id", "mediator_name", "period_start_date", "mediator_value")
MEDIA = {
    "intensity": "intensity",
    "spend": "spend_amount",
    "exposures": "exposures_count",
    "reach": "reach_count",
    "frequency": "frequency",
}


@dataclass(frozen=True, eq=False)
class MarketPanel:
    """Markets x periods x channels. Build it with `from_frames`.

    Sizes: J markets, T periods, C channels, Q controls, M mediators. Arrays are read-only.

    Attributes
    ----------
    market_ids, channel_ids : (J,), (C,) object arrays of text, sorted
    period_starts : (T,) datetime64[D], every period from the first of activity or KPI to the last of the KPI
    kpi : (J, T) float64, in the currency for GMV; NaN where not recorded, a market's activity before it included
    kpi_name : what it is
    intensity : (J, T, C) float64, impressions or the like, finite, 0 where there was no activity
    spend : (J, T, C) float64, money; NaN where unknown
    exposures : (J, T, C) float64, counted contacts of consumers; NaN where unknown
    reach, frequency : (J, T, C) float64, consumers reached and contacts of each; NaN where unknown
    controls : (J, T, Q) float64 in their own units, finite where the KPI is recorded
    control_names : Q names, sorted; covariates with gaps are named in `controls_incomplete` instead
    mediators : (J, T, M) float64 series between channels and KPI, as controls; apart from them, because a total effect
        never adjusts for one. mediator_names, mediators_incomplete : as of controls
    population : (J,) float64, inhabitants or addressable consumers; NaN where unknown
    absent_cells_count : market-channel-periods without a row, taken as no activity
    left_out_count : rows of channels, covariates or mediators in markets without a KPI, or after the last one
    """

    market_ids: np.ndarray
    channel_ids: np.ndarray
    period_starts: np.ndarray
    kpi: np.ndarray
    intensity: np.ndarray
    spend: np.ndarray
    exposures: np.ndarray
    reach: np.ndarray
    frequency: np.ndarray
    controls: np.ndarray
    control_names: tuple[str, ...]
    controls_incomplete: tuple[str, ...]
    mediators: np.ndarray
    mediator_names: tuple[str, ...]
    mediators_incomplete: tuple[str, ...]
    population: np.ndarray
    currency_code: str
    period: str
    kpi_name: str = "gmv"
    absent_cells_count: int = field(default=0)
    left_out_count: int = field(default=0)

    def __post_init__(self) -> None:
        _validate(self)
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @property
    def is_observed(self) -> np.ndarray:
        """(J, T), whether the KPI is recorded."""
        return np.isfinite(self.kpi)

    @property
    def is_national(self) -> bool:
        """Whether there is one market, so that nothing tells common shocks from marketing but time."""
        return len(self.market_ids) == 1

    @property
    def has_spend(self) -> np.ndarray:
        """(C,), whether the channel's spend is known wherever it was active, and is above 0 somewhere."""
        return self._known_where_active(self.spend) & (np.nansum(self.spend, axis=(0, 1)) > 0)

    @property
    def has_reach(self) -> np.ndarray:
        """(C,), whether the channel's reach and frequency are known wherever it was active."""
        return self._known_where_active(self.reach) & self._known_where_active(self.frequency)

    @property
    def has_population(self) -> bool:
        """Whether every market's population is known."""
        return bool(np.isfinite(self.population).all())

    def channel_index(self, channel_id: str) -> int:
        """Position of a channel. PanelError for one the panel does not have."""
        return _index(self.channel_ids, channel_id, "channel")

    def market_index(self, market_id: str) -> int:
        """Position of a market. PanelError for one the panel does not have."""
        return _index(self.market_ids, market_id, "market")

    def require_spend(self, channel_id: str) -> np.ndarray:
        """(J, T) spend of the channel; PanelError, with what is missing, where roas or budgets cannot be told."""
        c = self.channel_index(channel_id)
        if not self.has_spend[c]:
            missing = int((~np.isfinite(self.spend[..., c]) & (self.intensity[..., c] > 0)).sum())
            raise PanelError(
                f"spend of channel {channel_id!r} is unknown in {missing} active market-periods and sums to "
                f"{np.nansum(self.spend[..., c]):g} over the others, so that nothing can be said per money spent. Give "
                "spend_amount in marketing_activities, or ask for contributions only."
            )
        return self.spend[..., c]

    def with_kpi(self, kpi: np.ndarray, kpi_name: str) -> MarketPanel:
        """The same panel with another KPI (J, T)."""
        return replace(self, kpi=np.array(kpi, dtype=float), kpi_name=kpi_name)

    def _known_where_active(self, values: np.ndarray) -> np.ndarray:
        return (np.isfinite(values) | (self.intensity == 0)).all(axis=(0, 1)) & np.isfinite(values).any(
            axis=(0, 1)
        )

    @classmethod
    def from_frames(
        cls,
        market_periods: pd.DataFrame,
        market_channel_periods: pd.DataFrame,
        market_covariate_periods: pd.DataFrame,
        mediator_periods: pd.DataFrame,
        *,
        currency_code: str,
        period: str,
        population: Mapping[str, float] | None = None,
        kpi_column: str = "gmv_net_amount",
        kpi_name: str = "gmv",
    ) -> MarketPanel:
        """Check the marts' frames and align them.

        population : of markets by market_id; markets it lacks are unknown
        Raises PanelError for missing columns, repeated or null keys, starts that are none of the period, negative or
        infinite activity, null intensity, spend in another currency, and where no KPI or no channel is left.
        """
        require_columns(market_periods, (*MARKET_PERIOD_COLUMNS, kpi_column), "market_periods")
        require_columns(market_channel_periods, CHANNEL_PERIOD_COLUMNS, "market_channel_periods")
        require_columns(market_covariate_periods, COVARIATE_COLUMNS, "market_covariate_periods")
        require_columns(mediator_periods, MEDIATOR_COLUMNS, "mediator_periods")
        refuse_duplicates(market_periods, list(MARKET_PERIOD_COLUMNS), "market_periods")
        refuse_duplicates(market_channel_periods, list(CHANNEL_PERIOD_COLUMNS[:3]), "market_channel_periods")
        refuse_duplicates(market_covariate_periods, list(COVARIATE_COLUMNS[:3]), "market_covariate_periods")
        refuse_duplicates(mediator_periods, list(MEDIATOR_COLUMNS[:3]), "mediator_periods")
        recorded = market_periods[market_periods[kpi_column].notna()]
        if recorded.empty or market_channel_periods.empty:
            raise PanelError(
                f"{len(recorded)} market-periods have {kpi_column} and {len(market_channel_periods)} rows have a "
                "channel; a response model needs both. Give market_outcomes or transactions, and "
                "marketing_activities or exposures."
            )
        markets = np.unique(texts(recorded["market_id"], "market_periods.market_id"))
        starts = days(recorded["period_start_date"])
        media, media_left_out = _kept(market_channel_periods, markets, starts.max())
        covariates, covariates_left_out = _kept(market_covariate_periods, markets, starts.max())
        mediators, mediators_left_out = _kept(mediator_periods, markets, starts.max())
        if media.empty:
            raise PanelError(
                "no row of market_channel_periods lies in a market with a KPI and not after its last period; compare "
                "the market_id and the dates of both tables."
            )
        _require_currency(media, currency_code)
        calendar = calendar_grid(np.concatenate([starts, days(media["period_start_date"])]), period)
        cell = _cells(recorded, markets, calendar, "market_periods")
        kpi = np.full((len(markets), len(calendar)), np.nan)
        kpi[cell] = recorded[kpi_column].astype("float64")
        channels, arrays, absent = _media_arrays(media, markets, calendar)
        between = _series(mediators, MEDIATOR_COLUMNS, markets, calendar, np.isfinite(kpi))
        held = _series(covariates, COVARIATE_COLUMNS, markets, calendar, np.isfinite(kpi))
        known = population or {}
        return cls(
            market_ids=markets,
            channel_ids=channels,
            period_starts=calendar,
            kpi=kpi,
            **arrays,
            controls=held[0],
            control_names=held[1],
            controls_incomplete=held[2],
            mediators=between[0],
            mediator_names=between[1],
            mediators_incomplete=between[2],
            population=np.array([float(known.get(market, np.nan)) for market in markets]),
            currency_code=currency_code,
            period=period,
            kpi_name=kpi_name,
            absent_cells_count=absent,
            left_out_count=media_left_out + covariates_left_out + mediators_left_out,
        )


# ------------------------------------------------------------------------------- building
def _kept(frame: pd.DataFrame, markets: np.ndarray, last: np.datetime64) -> tuple[pd.DataFrame, int]:
    """Rows of known markets up to the last period of the KPI, and how many were left out."""
    keep = np.isin(texts(frame["market_id"], "market_id"), markets)
    keep &= days(frame["period_start_date"]) <= last
    return frame[keep], int((~keep).sum())


def _cells(
    frame: pd.DataFrame, markets: np.ndarray, calendar: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray]:
    market = positions(markets, texts(frame["market_id"], f"{name}.market_id"))
    return market, positions(calendar, days(frame["period_start_date"]))


def _media_arrays(
    media: pd.DataFrame, markets: np.ndarray, calendar: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
    """Channel ids, the five arrays of MEDIA, and how many cells had no row."""
    channel, channels = pd.factorize(
        texts(media["channel_id"], "market_channel_periods.channel_id"), sort=True
    )
    market, when = _cells(media, markets, calendar, "market_channel_periods")
    shape = (len(markets), len(calendar), len(channels))
    has_row = np.zeros(shape, dtype=bool)
    has_row[market, when, channel] = True
    arrays = {}
    for name, column in MEDIA.items():
        values = np.full(shape, np.nan)
        values[market, when, channel] = media[column].astype("float64")
        is_kept = np.isfinite(values).any(axis=(0, 1))  # a channel without the quantity has it nowhere
        arrays[name] = np.where(~has_row & is_kept & (name != "frequency"), 0.0, values)
    unknown = np.isnan(arrays["intensity"]) & has_row
    if unknown.any():
        raise PanelError(
            f"intensity is null in {int(unknown.sum())} rows of market_channel_periods, where it is required. Give "
            "impressions, or spend in their place."
        )
    return channels, arrays, int((~has_row).sum())


def _series(
    frame: pd.DataFrame,
    columns: tuple[str, ...],
    markets: np.ndarray,
    calendar: np.ndarray,
    is_observed: np.ndarray,
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Series (J, T, names) whole wherever the KPI is recorded, their names, and the names of those with gaps."""
    _, name_column, _, value_column = columns
    named = texts(frame[name_column], name_column)
    names = np.unique(named)
    grid = np.full((len(markets), len(calendar), len(names)), np.nan)
    market, when = _cells(frame, markets, calendar, name_column)
    inside = when >= 0  # before any activity or KPI
    grid[market[inside], when[inside], positions(names, named)[inside]] = frame[value_column].astype(
        "float64"
    )[inside]
    whole = np.isfinite(grid[is_observed]).all(axis=0) if len(names) else np.zeros(0, dtype=bool)
    return grid[..., whole], tuple(names[whole]), tuple(names[~whole])


def _require_currency(media: pd.DataFrame, currency_code: str) -> None:
    found = media.loc[media["spend_amount"].notna(), "currency_code"]
    others = sorted({str(code) for code in found.unique()} - {currency_code})
    if others:
        raise PanelError(
            f"spend is in {', '.join(others)} and the KPI in {currency_code}; convert it before it is landed, because "
            "returns on spend in another currency mean nothing."
        )


# ----------------------------------------------------------------------------- validation
def _validate(panel: MarketPanel) -> None:
    if panel.period not in PERIODS:
        raise PanelError(f"period is {panel.period!r}; a panel counts in one of {', '.join(PERIODS)}.")
    markets, periods, channels = len(panel.market_ids), len(panel.period_starts), len(panel.channel_ids)
    expected = {name: (markets, periods, channels) for name in MEDIA}
    expected |= {"kpi": (markets, periods), "population": (markets,)}
    expected |= {"controls": (markets, periods, len(panel.control_names))}
    expected |= {"mediators": (markets, periods, len(panel.mediator_names))}
    for name, shape in expected.items():
        if getattr(panel, name).shape != shape:
            raise PanelError(f"`{name}` has shape {getattr(panel, name).shape} where {shape} belongs.")
    for name in (*MEDIA, "population"):
        values = getattr(panel, name)
        wrong = np.isinf(values) | (values < 0)
        if name == "population":
            wrong |= values == 0
        if wrong.any():
            raise PanelError(
                f"`{name}` holds {int(wrong.sum())} values that are negative, infinite or, for a population, 0; the "
                f"first is {values[wrong][0]}. Quarantine them upstream."
            )
    if not np.isfinite(panel.intensity).all():
        raise PanelError("`intensity` holds values that are not finite; no activity is 0.")
    if np.isinf(panel.kpi).any() or not panel.is_observed.any(axis=1).all():
        raise PanelError("`kpi` is infinite somewhere, or a market has none at all. Leave such markets out.")
    for name in ("controls", "mediators"):
        if not np.isfinite(getattr(panel, name)[panel.is_observed]).all():
            raise PanelError(
                f"`{name}` are not finite where the KPI is recorded. Impute them upstream, or leave them out."
            )


def _index(names: np.ndarray, name: str, kind: str) -> int:
    found = np.flatnonzero(names == name)
    if not len(found):
        raise PanelError(f"the panel has no {kind} {name!r}; it has {', '.join(map(str, names))}.")
    return int(found[0])
