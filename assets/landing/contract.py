"""The input contract (design §2): which tables and columns a source must deliver.

This registry is the single truth. Landing refuses files by it and shapes landed Parquet by it; dbt staging mirrors it.
A column has a *kind* (what its text must parse to), may be *required* (the file is refused without it) and may be
*nullable* (a row without a value is still good). Landing checks columns only; values are judged row by row in dbt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal["string", "timestamp", "date", "money", "count", "number", "boolean", "json"]

#: Columns that landing adds after the contract's own, with their DuckDB types.
LOAD_COLUMNS: dict[str, str] = {
    "load_id": "VARCHAR",
    "load_sequence": "BIGINT",
    "file_name": "VARCHAR",
    "row_number": "BIGINT",
    "landed_at": "TIMESTAMP",
}

EXTRA_COLUMNS_NAME = "extra_columns"
EXTRA_COLUMNS_TYPE = "MAP(VARCHAR, VARCHAR)"

MANIFEST_COLUMNS: dict[str, str] = {
    "load_id": "VARCHAR",
    "load_sequence": "BIGINT",
    "source_name": "VARCHAR",
    "table_name": "VARCHAR",
    "file_name": "VARCHAR",
    "content_sha256": "VARCHAR",
    "rows_count": "BIGINT",
    "columns": "VARCHAR[]",
    "extra_column_names": "VARCHAR[]",
    "landed_at": "TIMESTAMP",
}


@dataclass(frozen=True, slots=True)
class ContractColumn:
    """One column of an input table.

    is_required: the file is refused without the column.
    is_nullable: a row whose value is empty is still accepted.
    """

    name: str
    kind: ColumnKind
    is_required: bool = True
    is_nullable: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class ContractTable:
    """One input table: its columns in order, its key, and what columns outside the contract mean.

    is_open: further columns are data (characteristics, covariates, series, KPIs); in the other (strict) tables they
    are kept and listed, and used by nothing.
    """

    name: str
    grain: str
    columns: tuple[ContractColumn, ...]
    key: tuple[str, ...]
    is_open: bool = False
    extra_columns_role: str = "not used"

    @property
    def column_names(self) -> tuple[str, ...]:
        """All contract columns, in landed order."""
        return tuple(column.name for column in self.columns)

    @property
    def required_columns(self) -> tuple[str, ...]:
        """Columns without which a file of this table is refused."""
        return tuple(column.name for column in self.columns if column.is_required)

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """Contract columns that a file may leave out; they land as NULL."""
        return tuple(column.name for column in self.columns if not column.is_required)

    def landed_columns(self) -> dict[str, str]:
        """Column name -> DuckDB type of a landed file of this table."""
        return (
            {name: "VARCHAR" for name in self.column_names}
            | {EXTRA_COLUMNS_NAME: EXTRA_COLUMNS_TYPE}
            | LOAD_COLUMNS
        )


def _optional(name: str, kind: ColumnKind, description: str) -> ContractColumn:
    return ContractColumn(name, kind, is_required=False, is_nullable=True, description=description)


_CONSUMER_ID = ContractColumn("consumer_id", "string", description="The consumer, as the source names it.")
_MARKET_ID = ContractColumn("market_id", "string", description="The market (shop, region, country).")
_CHANNEL_ID = ContractColumn("channel_id", "string", description="The marketing channel.")
_PERIOD_START_DATE = ContractColumn("period_start_date", "date", description="First day of the period.")

_TABLES = (
    ContractTable(
        name="transactions",
        grain="one purchase or return",
        columns=(
            ContractColumn("transaction_id", "string", description="Names the purchase line; the key."),
            _CONSUMER_ID,
            ContractColumn("market_id", "string", description="Market where it was bought."),
            ContractColumn("occurred_at", "timestamp", description="Moment; without a zone it is UTC."),
            ContractColumn("gmv_amount", "money", description="Signed: purchases >= 0, returns <= 0."),
            ContractColumn("currency_code", "string", description="ISO 4217 code of gmv_amount."),
            _optional("is_return", "boolean", "True for a return; empty means purchase."),
            _optional("units_count", "count", "Units bought or returned."),
            _optional("discount_amount", "money", "Discount already taken off gmv_amount."),
        ),
        key=("transaction_id",),
    ),
    ContractTable(
        name="exposures",
        grain="consumer x channel x moment x campaign",
        columns=(
            _CONSUMER_ID,
            _CHANNEL_ID,
            ContractColumn("occurred_at", "timestamp", description="Moment; without a zone it is UTC."),
            ContractColumn("exposures_count", "count", description="Exposures at this moment, >= 1."),
            _optional("campaign_id", "string", "Campaign within the channel."),
            _optional("exposure_id", "string", "Given, it tells apart rows equal in the four key columns."),
        ),
        key=("consumer_id", "channel_id", "occurred_at", "campaign_id", "exposure_id"),
    ),
    ContractTable(
        name="consumers",
        grain="one consumer",
        columns=(
            _CONSUMER_ID,
            ContractColumn(
                "market_id", "string", is_nullable=True, description="Home market, if it has one."
            ),
            ContractColumn("first_seen_at", "timestamp", description="When the consumer's panel starts."),
            _optional("active_until", "date", "Last day the consumer is known to be active; empty: unknown."),
        ),
        key=("consumer_id",),
        is_open=True,
        extra_columns_role="characteristics",
    ),
    ContractTable(
        name="market_covariates",
        grain="market x period",
        columns=(_MARKET_ID, _PERIOD_START_DATE),
        key=("market_id", "period_start_date"),
        is_open=True,
        extra_columns_role="covariates",
    ),
    ContractTable(
        name="marketing_activities",
        grain="market x channel x period",
        columns=(
            _MARKET_ID,
            _CHANNEL_ID,
            _PERIOD_START_DATE,
            _optional("spend_amount", "money", "Spend; empty means unknown, not zero."),
            ContractColumn("intensity", "number", description="Impressions or the like."),
            ContractColumn(
                "currency_code", "string", is_nullable=True, description="Needed where spend_amount is given."
            ),
            _optional("reach_count", "count", "Consumers reached."),
            _optional("frequency", "number", "Mean exposures of a reached consumer."),
        ),
        key=("market_id", "channel_id", "period_start_date"),
    ),
    ContractTable(
        name="market_outcomes",
        grain="market x period",
        columns=(
            _MARKET_ID,
            _PERIOD_START_DATE,
            ContractColumn("gmv_amount", "money", description="GMV net of returns."),
        ),
        key=("market_id", "period_start_date"),
        is_open=True,
        extra_columns_role="KPIs",
    ),
    ContractTable(
        name="mediators",
        grain="market x period",
        columns=(_MARKET_ID, _PERIOD_START_DATE),
        key=("market_id", "period_start_date"),
        is_open=True,
        extra_columns_role="series between channels and GMV",
    ),
    ContractTable(
        name="lift_tests",
        grain="one experiment",
        columns=(
            ContractColumn("lift_test_id", "string", description="Names the experiment."),
            ContractColumn("channel_ids", "json", description="JSON list of channels."),
            ContractColumn("market_ids", "json", description="JSON list of markets."),
            ContractColumn("start_date", "date", description="First day."),
            ContractColumn("end_date", "date", description="Last day."),
            _optional("spend_delta_amount", "money", "Change of spend; may be empty if exposures changed."),
            _optional(
                "exposures_delta_count", "count", "Change of exposures; may be empty if spend changed."
            ),
            ContractColumn("lift_amount", "money", description="Measured change of the KPI."),
            ContractColumn("lift_standard_error", "money", description="Its standard error."),
            ContractColumn("kpi", "string", description="What was measured."),
        ),
        key=("lift_test_id",),
    ),
    ContractTable(
        name="markets",
        grain="one market",
        columns=(
            _MARKET_ID,
            _optional("name", "string", "Name for people."),
            _optional("population", "count", "Inhabitants or addressable consumers."),
        ),
        key=("market_id",),
    ),
    ContractTable(
        name="channels",
        grain="one channel",
        columns=(
            _CHANNEL_ID,
            _optional("name", "string", "Name for people."),
            _optional("kind", "string", "paid, owned or organic."),
            _optional("cost_per_exposure", "money", "Cost of one exposure, where known."),
        ),
        key=("channel_id",),
    ),
)

CONTRACT: dict[str, ContractTable] = {table.name: table for table in _TABLES}
"""Input tables by name, in the order in which they are landed and reported."""

OUTCOME_TABLES: tuple[str, ...] = ("transactions", "market_outcomes")
"""At least one of these must be there: without GMV there is nothing to explain."""
