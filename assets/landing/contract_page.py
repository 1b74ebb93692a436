"""The input contract as a page: `python -m assets.landing.contract_page > docs/input_contract.md`.

A test holds the committed page to this output, so that the page cannot drift from what landing and dbt do.
"""

from __future__ import annotations

from assets.landing.contract import CONTRACT, ContractTable

REASON_CODES: dict[str, str] = {
    "missing_key": "a column of the key is empty",
    "missing_value": "a column that may not be empty is empty",
    "bad_type": "a value does not parse as its column's type (text in a number, a date that does not exist)",
    "not_finite": "a number is NaN or infinite",
    "negative_amount": "an amount below zero where only a flagged return may be, or spend or intensity below zero",
    "sign_conflict": "a row flagged is_return has a positive amount",
    "invalid_count": "a count of exposures that is zero, negative or fractional",
    "unknown_consumer": "the consumer is not among the accepted consumers",
    "unknown_market": "the market is not among the valid markets",
    "unknown_channel": "the channel is not among the valid channels",
    "out_of_range_date": "before 2000-01-01 (the usual sign of an epoch of 1970), or outside the source's range",
    "future_date": "later than the moment at which the file was landed",
    "misaligned_period": "a period table's date is not the first day of a period",
    "wrong_currency": "not the currency of the deployment",
    "exact_duplicate": "the same key with the same content as a row that stays",
    "conflicting_duplicate": "the same key with other content; the last one landed stays",
    "out_of_scope": "left out on purpose by the mapping of a source system",
}

_HEAD = """# Input contract

Generated from `assets/landing/contract.py` by `python -m assets.landing.contract_page`; do not edit.

A table is `<table>.csv` or `<table>.parquet`, further files `<table>__anything.csv|parquet`, or a folder
`<table>/`. Two shapes of data are first-class: consumer-level (`transactions`, `exposures`, `consumers`) and
market-only (`market_outcomes`, `marketing_activities`). A file that lacks a required column is refused whole,
before anything runs. Every row of a landed file is accepted, or quarantined with one reason;
`reporting.data_quality` counts both per file.

A timestamp without a zone is UTC. Where a table is *open*, every further column is data.
"""


def render() -> str:
    """The whole page as Markdown."""
    reasons = "\n".join(f"| `{code}` | {text} |" for code, text in REASON_CODES.items())
    return (
        _HEAD
        + "\n"
        + "\n".join(_section(table) for table in CONTRACT.values())
        + "\n## Reason codes\n\nA row with several faults counts once, under the first of these that is true of it.\n\n"
        + f"| Code | What is wrong |\n|---|---|\n{reasons}\n"
    )


def _section(table: ContractTable) -> str:
    rows = "\n".join(
        f"| `{column.name}` | {column.kind} | {'yes' if column.is_required else 'no'} | "
        f"{'yes' if column.is_nullable else 'no'} | {column.description} |"
        for column in table.columns
    )
    extra = f"Open: further columns are {table.extra_columns_role}." if table.is_open else "Strict."
    key = ", ".join(f"`{name}`" for name in table.key)
    return (
        f"## {table.name}\n\nOne row: {table.grain}. Key: {key}. {extra}\n\n"
        f"| Column | Type | Required | May be empty | Meaning |\n|---|---|---|---|---|\n{rows}\n"
    )


if __name__ == "__main__":
    print(render(), end="")
