"""The consumer panel: validated arrays of who was exposed to what, when, and what they bought.

Every consumer-level model and check takes a `ConsumerPanel` and nothing else, so the rules about which
consumer-periods count (design section 3) are applied once, upstream, and checked here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.panel_columns import (
    PERIODS,
    calendar_grid,
    days,
    floats,
    positions,
    refuse_duplicates,
    require_columns,
    text_keys,
    texts,
)
from models.transforms.concave import exposure_bends

SPEND_STRATUM_NAME = "pre_period_spend_stratum"
CONSUMER_PERIOD_COLUMNS = ("consumer_id", "market_id", "period_start_date", "gmv_net_amount", "is_in_panel")
CHANNEL_PERIOD_COLUMNS = ("consumer_id", "channel_id", "period_start_date", "exposures_count")
CHARACTERISTIC_COLUMNS = (
    "consumer_id",
    "characteristic_name",
    "characteristic_kind",
    "characteristic_origin",
    "value_numeric",
    "value_text",
)
COVARIATE_COLUMNS = ("market_id", "covariate_name", "period_start_date", "covariate_value")


@dataclass(frozen=True, eq=False)
class ConsumerPanel:
    """Consumer-periods that count, in (consumer, period) order. Build it with `from_frames`.

    Sizes: N consumers, J markets, C channels, T panel periods, Q covariates, R rows (consumer-periods).
    Arrays are read-only.

    Attributes
    ----------
    consumer_ids, market_ids, channel_ids : (N,), (J,), (C,) object arrays of text, each sorted
    period_starts : (T,) datetime64[D], the periods that have at least one row, ascending
    consumer_index, market_index, period_index : (R,) int64 positions in the arrays above
    gmv : (R,) float64, net GMV of the period, in `currency_code`
    exposures : (R, C) float64, exposures counted in the period (0 where none)
    covariates : (R, Q) float64 market covariates in their own units, no gaps
    covariate_names : Q names, sorted; covariates with gaps are named in `covariates_incomplete` instead
    consumer_market_index : (N,) home market of each consumer
    spend_stratum : (N,) object, pre-period spend stratum (none, low, middle, high)
    characteristics : DataFrame indexed by consumer_id in the order of `consumer_ids`; numeric columns float64
        with NaN, categorical ones object with None; the spend stratum is not repeated here
    characteristic_kinds, characteristic_origins : column -> numeric|categorical, declared|pre_period
    calendar : (A,) datetime64[D], every period from the first to the last of the data, panel or not
    exposure_events : (E, 3) int64 (consumer, calendar position, channel), one per non-zero exposure cell
        of panel consumers in *any* calendar period; `exposure_event_counts` (E,) float64 are their counts
    exposures_unmatched_count : exposure cells whose consumer has no panel row (left out)
    """

    consumer_ids: np.ndarray
    market_ids: np.ndarray
    channel_ids: np.ndarray
    period_starts: np.ndarray
    consumer_index: np.ndarray
    market_index: np.ndarray
    period_index: np.ndarray
    gmv: np.ndarray
    exposures: np.ndarray
    covariates: np.ndarray
    covariate_names: tuple[str, ...]
    covariates_incomplete: tuple[str, ...]
    consumer_market_index: np.ndarray
    spend_stratum: np.ndarray
    characteristics: pd.DataFrame
    characteristic_kinds: dict[str, str]
    characteristic_origins: dict[str, str]
    calendar: np.ndarray
    exposure_events: np.ndarray
    exposure_event_counts: np.ndarray
    currency_code: str
    period: str
    exposures_unmatched_count: int = field(default=0)

    def __post_init__(self) -> None:
        _validate(self)
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    # ------------------------------------------------------------------ sizes
    @property
    def consumers_count(self) -> int:
        """Number of consumers with at least one row."""
        return len(self.consumer_ids)

    @property
    def rows_count(self) -> int:
        """Number of consumer-periods in the panel."""
        return len(self.gmv)

    @property
    def exposure_bends(self) -> np.ndarray:
        """Bend of each channel's concave column, (C,): of the events, so that a placebo's exposures keep it."""
        return exposure_bends(self.exposure_events[:, 2], self.exposure_event_counts, len(self.channel_ids))

    @property
    def calendar_index(self) -> np.ndarray:
        """Position of each row's period in `calendar`, shape (R,)."""
        return np.searchsorted(self.calendar, self.period_starts)[self.period_index]

    # ------------------------------------------------------------ constructors
    @classmethod
    def from_frames(
        cls,
        consumer_periods: pd.DataFrame,
        consumer_channel_periods: pd.DataFrame,
        consumer_characteristics: pd.DataFrame,
        market_covariate_periods: pd.DataFrame,
        *,
        currency_code: str,
        period: str,
    ) -> ConsumerPanel:
        """Build the panel from the marts of the same names (extra columns are ignored).

        Only rows with `is_in_panel` carry an outcome; exposures of panel consumers are kept for every
        period of the data, because lead placebos and history swaps need them.

        Raises
        ------
        PanelError
            A column is missing; a key occurs twice; an amount or a count is not finite; a consumer has two
            markets; a period start is off the calendar grid; no row is in the panel.
        """
        require_columns(consumer_periods, CONSUMER_PERIOD_COLUMNS, "consumer_periods")
        require_columns(consumer_channel_periods, CHANNEL_PERIOD_COLUMNS, "consumer_channel_periods")
        require_columns(consumer_characteristics, CHARACTERISTIC_COLUMNS, "consumer_characteristics")
        require_columns(market_covariate_periods, COVARIATE_COLUMNS, "market_covariate_periods")
        refuse_duplicates(consumer_periods, ["consumer_id", "period_start_date"], "consumer_periods")
        cells = consumer_channel_periods
        refuse_duplicates(
            cells, ["consumer_id", "channel_id", "period_start_date"], "consumer_channel_periods"
        )

        starts = days(consumer_periods["period_start_date"])
        cell_starts = days(cells["period_start_date"])
        in_panel = consumer_periods["is_in_panel"].to_numpy(dtype=bool)
        if not in_panel.any():
            raise PanelError(
                f"consumer_periods has {len(consumer_periods)} rows and none is in the panel, so there is "
                "nothing to fit. Look at exclusion_reason: the pre-period may be longer than the data."
            )
        calendar = calendar_grid(np.concatenate([starts, cell_starts]), period)

        ids = text_keys(consumer_periods["consumer_id"], "consumer_periods.consumer_id")
        markets = text_keys(consumer_periods["market_id"], "consumer_periods.market_id")
        consumer_index, consumer_ids = ids.used(in_panel)
        market_index, market_ids = markets.used(in_panel)
        period_starts, period_index = np.unique(starts[in_panel], return_inverse=True)
        order = np.lexsort((period_index, consumer_index))
        consumer_index, market_index, period_index = (
            a[order].astype(np.int64) for a in (consumer_index, market_index, period_index)
        )
        amounts = consumer_periods["gmv_net_amount"].loc[in_panel]
        gmv = floats(amounts, "consumer_periods.gmv_net_amount")[order]
        consumer_market_index = _constant_within(consumer_index, market_index, consumer_ids, market_ids)

        channels = text_keys(cells["channel_id"], "consumer_channel_periods.channel_id")
        channel_index, channel_ids = channels.used(np.ones(len(cells), dtype=bool))
        cell_ids = text_keys(cells["consumer_id"], "consumer_channel_periods.consumer_id")
        cell_consumer = cell_ids.positions_in(consumer_ids)
        counts = floats(cells["exposures_count"], "consumer_channel_periods.exposures_count")
        known = cell_consumer >= 0
        when = np.searchsorted(calendar, cell_starts).astype(np.int32)
        cell = [part[known] for part in (cell_consumer, when, channel_index.astype(np.int32))]
        events_order = np.lexsort(cell[::-1])
        events = np.column_stack([part[events_order] for part in cell]).astype(np.int64)
        counts = counts[known][events_order]

        exposures = np.zeros((len(gmv), len(channel_ids)))
        row_key = consumer_index * len(calendar) + np.searchsorted(calendar, period_starts)[period_index]
        position = positions(row_key, events[:, 0] * len(calendar) + events[:, 1])
        hit = position >= 0
        exposures[position[hit], events[hit, 2]] = counts[hit]

        names, covariates, incomplete = _covariate_rows(
            market_covariate_periods, market_ids, period_starts, market_index, period_index
        )
        characteristics, kinds, origins, stratum = _characteristics_wide(
            consumer_characteristics, consumer_ids
        )
        return cls(
            consumer_ids=consumer_ids,
            market_ids=market_ids,
            channel_ids=channel_ids,
            period_starts=period_starts,
            consumer_index=consumer_index,
            market_index=market_index,
            period_index=period_index,
            gmv=gmv,
            exposures=exposures,
            covariates=covariates,
            covariate_names=names,
            covariates_incomplete=incomplete,
            consumer_market_index=consumer_market_index,
            spend_stratum=stratum,
            characteristics=characteristics,
            characteristic_kinds=kinds,
            characteristic_origins=origins,
            calendar=calendar,
            exposure_events=events,
            exposure_event_counts=counts,
            currency_code=currency_code,
            period=period,
            exposures_unmatched_count=int((~known).sum()),
        )

    # -------------------------------------------------------------- derived data
    def exposures_by_calendar(self, channel: int) -> np.ndarray:
        """Exposures of one channel (its position) in every calendar period, dense, shape (N, A)."""
        dense = np.zeros((self.consumers_count, len(self.calendar)))
        chosen = self.exposure_events[:, 2] == channel
        events = self.exposure_events[chosen]
        dense[events[:, 0], events[:, 1]] = self.exposure_event_counts[chosen]
        return dense

    def lead_exposures(self, periods_count: int) -> tuple[np.ndarray, np.ndarray]:
        """Exposures summed over the next `periods_count` periods, and the rows for which all are observed.

        Returns
        -------
        leads : (R, C) float64; rows whose lead is not fully observed hold 0
        is_observed : (R,) bool, True where period + periods_count is not later than the last calendar period
        """
        if periods_count < 1:
            raise PanelError(f"A lead needs at least one later period, got {periods_count}. Give 1 or more.")
        now = self.calendar_index
        is_observed = now + periods_count < len(self.calendar)
        leads = np.zeros((self.rows_count, len(self.channel_ids)))
        who, when = self.consumer_index[is_observed], now[is_observed]
        for channel in range(len(self.channel_ids)):
            cumulative = np.cumsum(self.exposures_by_calendar(channel), axis=1)
            leads[is_observed, channel] = cumulative[who, when + periods_count] - cumulative[who, when]
        return leads, is_observed

    def consumer_means(self, values: np.ndarray) -> np.ndarray:
        """Mean over each consumer's panel rows of (R,) or (R, K) values: (N,) or (N, K)."""
        rows = np.bincount(self.consumer_index, minlength=self.consumers_count)
        columns = values.reshape(self.rows_count, -1).T
        sums = np.column_stack([np.bincount(self.consumer_index, c, self.consumers_count) for c in columns])
        return (sums / rows[:, None]).reshape((self.consumers_count, *values.shape[1:]))

    def with_exposures(self, exposures: np.ndarray) -> ConsumerPanel:
        """The same panel with other exposures in its rows (placebos); leads keep the original events."""
        return replace(self, exposures=np.array(exposures, dtype=float))

    def rows_subset(self, keep: np.ndarray) -> dict[str, np.ndarray]:
        """The row arrays, consumer_index to covariates, of the rows where `keep` holds."""
        names = ("consumer_index", "market_index", "period_index", "gmv", "exposures", "covariates")
        return {name: getattr(self, name)[keep] for name in names}


# ------------------------------------------------------------------------------ validation
def _validate(panel: ConsumerPanel) -> None:
    if panel.period not in PERIODS:
        raise PanelError(f"period is {panel.period!r}; a panel counts in one of {', '.join(PERIODS)}.")
    rows, channels, consumers = len(panel.gmv), len(panel.channel_ids), len(panel.consumer_ids)
    expected = {
        "consumer_index": (rows,),
        "market_index": (rows,),
        "period_index": (rows,),
        "exposures": (rows, channels),
        "covariates": (rows, len(panel.covariate_names)),
        "consumer_market_index": (consumers,),
        "spend_stratum": (consumers,),
        "exposure_event_counts": (len(panel.exposure_events),),
    }
    for name, shape in expected.items():
        if getattr(panel, name).shape != shape:
            found = getattr(panel, name).shape
            raise PanelError(
                f"`{name}` has shape {found} where {shape} belongs: rows, channels or consumers differ."
            )
    for name in ("gmv", "exposures", "covariates", "exposure_event_counts"):
        if not np.isfinite(getattr(panel, name)).all():
            raise PanelError(
                f"`{name}` holds values that are not finite. Quarantine or impute them upstream."
            )
    if (panel.exposures < 0).any():
        raise PanelError("`exposures` holds negative counts; an exposure count is 0 or more.")
    key = panel.consumer_index * len(panel.period_starts) + panel.period_index
    if (np.diff(key) <= 0).any():
        raise PanelError(
            "Rows are not in strictly ascending (consumer, period) order: sort, drop duplicates."
        )
    if list(panel.characteristics.index) != list(panel.consumer_ids):
        raise PanelError("`characteristics` must have one row per consumer, in the order of `consumer_ids`.")


def _constant_within(
    consumer_index: np.ndarray, market_index: np.ndarray, consumer_ids: np.ndarray, market_ids: np.ndarray
) -> np.ndarray:
    home = np.zeros(len(consumer_ids), dtype=np.int64)
    home[consumer_index] = market_index
    wrong = np.flatnonzero(home[consumer_index] != market_index)
    if len(wrong):
        row = wrong[0]
        raise PanelError(
            f"Consumer {consumer_ids[consumer_index[row]]!r} has panel rows in markets "
            f"{market_ids[market_index[row]]!r} and {market_ids[home[consumer_index[row]]]!r}; "
            "a consumer has one home market."
        )
    return home


def _covariate_rows(
    frame: pd.DataFrame,
    market_ids: np.ndarray,
    period_starts: np.ndarray,
    market_index: np.ndarray,
    period_index: np.ndarray,
) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    refuse_duplicates(frame, ["market_id", "covariate_name", "period_start_date"], "market_covariate_periods")
    names = np.unique(texts(frame["covariate_name"], "covariate_name"))
    grid = np.full((len(names), len(market_ids), len(period_starts)), np.nan)
    market = positions(market_ids, texts(frame["market_id"], "market_covariate_periods.market_id"))
    when = positions(period_starts, days(frame["period_start_date"]))
    which = np.searchsorted(names, frame["covariate_name"].astype(str).to_numpy(dtype=object))
    hit = (market >= 0) & (when >= 0)
    values = frame["covariate_value"].astype("float64").to_numpy()
    grid[which[hit], market[hit], when[hit]] = values[hit]
    columns = grid[:, market_index, period_index]
    whole = np.isfinite(columns).all(axis=1) if len(names) else np.zeros(0, dtype=bool)
    return tuple(names[whole]), np.ascontiguousarray(columns[whole].T), tuple(names[~whole])


def _characteristics_wide(
    frame: pd.DataFrame, consumer_ids: np.ndarray
) -> tuple[pd.DataFrame, dict[str, str], dict[str, str], np.ndarray]:
    refuse_duplicates(frame, ["consumer_id", "characteristic_name"], "consumer_characteristics")
    ids = text_keys(frame["consumer_id"], "consumer_characteristics.consumer_id")
    position = ids.positions_in(consumer_ids)
    kept = frame.assign(position=position).loc[position >= 0]
    wide: dict[str, np.ndarray] = {}
    kinds: dict[str, str] = {}
    origins: dict[str, str] = {}
    stratum = np.full(len(consumer_ids), "none", dtype=object)
    names = text_keys(kept["characteristic_name"], "consumer_characteristics.characteristic_name")
    for code, part in kept.groupby(names.codes, sort=True):
        name = names.values[code]
        where = part["position"].to_numpy()
        found = part["characteristic_kind"].unique().tolist()
        if len(found) != 1 or found[0] not in ("numeric", "categorical"):
            raise PanelError(
                f"Characteristic {name!r} is of kind {found}; it must be numeric or categorical."
            )
        if found[0] == "numeric":
            column = np.full(len(consumer_ids), np.nan)
            column[where] = part["value_numeric"].astype("float64").to_numpy()
        else:
            column = np.full(len(consumer_ids), None, dtype=object)
            text = part["value_text"]
            column[where] = text.astype(object).where(text.notna(), None).to_numpy()
        if name == SPEND_STRATUM_NAME:
            present = column != np.array(None)
            stratum[present] = column[present]
            continue
        wide[str(name)] = column
        kinds[str(name)] = found[0]
        origins[str(name)] = str(part["characteristic_origin"].iloc[0])
    index = pd.Index(consumer_ids, name="consumer_id", dtype=object)
    columns = {name: pd.Series(value, index=index, dtype=value.dtype) for name, value in wide.items()}
    return pd.DataFrame(columns, index=index), kinds, origins, stratum
