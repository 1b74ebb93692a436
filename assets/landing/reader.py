"""Read one file as it is: find its columns, refuse what cannot be read whole, give SQL that shapes its rows.

DuckDB reads every byte; column names never reach it as identifiers (columns are addressed by position), and values
stay text, so that no name and no identifier of a user's data can change its meaning on the way.
"""

from __future__ import annotations

import codecs
import csv
import glob
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from assets.landing.contract import EXTRA_COLUMNS_NAME, EXTRA_COLUMNS_TYPE, ContractTable
from assets.landing.pseudonyms import ID_COLUMN, pseudonym_sql

_HASH_BLOCK_BYTES = 1 << 20
_HEADER_MAX_BYTES = 1 << 20
#: A longer record is a quote that was never closed far more often than it is data.
_RECORD_MAX_BYTES = 2 << 20
_WIDE_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_CSV_OPTIONS = (
    "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', nullstr = '', "
    f"strict_mode = true, null_padding = false, hive_partitioning = false, max_line_size = {_RECORD_MAX_BYTES}"
)


class FileRefusedError(ValueError):
    """A file cannot be landed whole; the text says what was found and what to do."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that claims to hold (a part of) a table; ``file_name`` is its name in reports."""

    table_name: str
    path: Path
    file_name: str


@dataclass(frozen=True, slots=True)
class FileShape:
    """Columns of a file in order, and a FROM clause that yields them as ``c0, c1, ..., file_row`` (from 1)."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    relation: str
    parameters: tuple[object, ...]


def quote_identifier(name: str) -> str:
    """Return ``name`` as a DuckDB identifier that means itself, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return ``text`` as a DuckDB string literal, for the places where no parameter is allowed."""
    return "'" + text.replace("'", "''") + "'"


def path_parameter(path: Path) -> str:
    """Return ``path`` for a DuckDB table function, where ``*``, ``?`` and ``[`` would otherwise be patterns."""
    return glob.escape(str(path))


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    return _sha256(path, b"")


def load_id_of(table_name: str, path: Path) -> str:
    """Return the load id: 16 hex digits of SHA-256(table name + content); the file's name plays no part."""
    return _sha256(path, table_name.encode())[:16]


def read_shape(connection: duckdb.DuckDBPyConnection, path: Path) -> FileShape:
    """Find the columns of a CSV or Parquet file; raises FileRefusedError where there are none to be had."""
    if path.stat().st_size == 0:
        raise FileRefusedError(
            "the file has 0 bytes, not even a header; an upload may have broken off. Send it again."
        )
    shape = _parquet_shape(connection, path) if path.suffix.lower() == ".parquet" else _csv_shape(path)
    _refuse_bad_names(shape.columns)
    return shape


def contract_query(shape: FileShape, table: ContractTable, *, hashed: bool = False) -> str:
    """SELECT list and FROM for a landed contract table, without load columns; refuses a file by its columns.

    Contract columns come as text in contract order (NULL where an optional one is absent), all others in a map.
    hashed: the consumer's id comes as its pseudonym; the connection must have been given the key.
    """
    missing = [name for name in table.required_columns if name not in shape.columns]
    if missing:
        raise FileRefusedError(_missing_columns_text(missing, shape.columns, table))
    position = {name: index for index, name in enumerate(shape.columns)}
    texts = {
        name: _as_text(shape, position[name]) if name in position else "CAST(NULL AS VARCHAR)"
        for name in table.column_names
    }
    if hashed and ID_COLUMN in texts:
        texts[ID_COLUMN] = pseudonym_sql(texts[ID_COLUMN])
    selected = [f"{text} AS {quote_identifier(name)}" for name, text in texts.items()]
    extras = extra_columns(shape, table)
    keys = ", ".join(quote_literal(name) for name in extras)
    values = ", ".join(_as_text(shape, position[name]) for name in extras)
    selected.append(
        f"CAST(MAP([{keys}]::VARCHAR[], [{values}]::VARCHAR[]) AS {EXTRA_COLUMNS_TYPE}) AS {EXTRA_COLUMNS_NAME}"
    )
    return ", ".join(selected)


def extra_columns(shape: FileShape, table: ContractTable) -> tuple[str, ...]:
    """Columns of a file that its contract table does not name, in file order."""
    return tuple(name for name in shape.columns if name not in table.column_names)


def typed_query(shape: FileShape, columns: dict[str, str]) -> str:
    """SELECT list of a raw table that must have exactly these columns and types."""
    found = dict(zip(shape.columns, shape.types, strict=True))
    if found != columns:
        differing = sorted(
            name for name in found.keys() | columns.keys() if found.get(name) != columns.get(name)
        )
        details = "; ".join(
            f"{name}: expected {columns.get(name, 'no such column')}, found {found.get(name, 'none')}"
            for name in differing
        )
        raise FileRefusedError(
            f"its columns are not those of the known version of this source ({details}). Install that version again: "
            "pip install 'mediamix[examples]'."
        )
    return ", ".join(f"c{shape.columns.index(name)} AS {quote_identifier(name)}" for name in columns)


def explain_read_error(error: duckdb.Error) -> str:
    """Turn DuckDB's complaint about a file into: line, what is wrong there, what to do."""
    text = str(error)
    line_match = re.search(r"CSV Error on Line: (\d+)", text)
    line = f"line {line_match.group(1)}: " if line_match else ""
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if counts:
        return (
            f"{line}{counts.group(2)} values where the header has {counts.group(1)} columns. A value with a comma or a "
            "line break must stand in double quotes; quote it, or write the file as Parquet."
        )
    if "not utf-8 encoded" in text or "Invalid unicode" in text:
        return f"{line}bytes that are not UTF-8 (Latin-1 or Windows-1252?). Save the file as UTF-8."
    if "unterminated quote" in text:
        return (
            f'{line}a double quote opens and does not close. Close it, or double quotes inside values ("").'
        )
    if "Maximum line size" in text:
        return (
            f"{line}a record of more than {_RECORD_MAX_BYTES} bytes; look for a quote that was never closed."
        )
    if "invalid state" in text:
        return "line ends are mixed (LF and CRLF) or a quote is stray. Write the file anew with one kind of line end."
    return f"{line}it cannot be read ({text.splitlines()[0]}). Write the file anew, as CSV in UTF-8 or as Parquet."


def _sha256(path: Path, prefix: bytes) -> str:
    digest = hashlib.sha256(prefix)
    with path.open("rb") as handle:
        while block := handle.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _as_text(shape: FileShape, index: int) -> str:
    return f"c{index}" if shape.types[index] == "VARCHAR" else f"CAST(c{index} AS VARCHAR)"


def _csv_shape(path: Path) -> FileShape:
    columns = _csv_header(path)
    types = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(columns)))
    return FileShape(
        columns=columns,
        types=("VARCHAR",) * len(columns),
        relation=(
            "(SELECT *, row_number() OVER () AS file_row "
            f"FROM read_csv(?, columns = {{{types}}}, {_CSV_OPTIONS}))"
        ),
        parameters=(path_parameter(path),),
    )


def _csv_header(path: Path) -> tuple[str, ...]:
    """First record of the file, read by Python because names are data too; a byte-order mark is dropped."""
    with path.open("rb") as binary:
        start = binary.read(4)
    if start.startswith(_WIDE_ENCODINGS):
        raise FileRefusedError("line 1: the file is UTF-16. Save it as UTF-8.")
    if start == b"PAR1":
        raise FileRefusedError("the file is Parquet under the name .csv. Rename it to .parquet.")
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
        text = handle.read(_HEADER_MAX_BYTES)
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), strict=True), [])
    except csv.Error as error:
        raise FileRefusedError(f"line 1: the header cannot be read ({error}). Correct its quotes.") from error
    names = tuple(header)
    if any("\udc80" <= character <= "\udcff" for name in names for character in name):
        raise FileRefusedError(
            "line 1: bytes that are not UTF-8 (Latin-1 or Windows-1252?). Save the file as UTF-8."
        )
    return names


def _parquet_shape(connection: duckdb.DuckDBPyConnection, path: Path) -> FileShape:
    parameter = path_parameter(path)
    try:
        nodes = connection.execute("SELECT name, num_children FROM parquet_schema(?)", [parameter]).fetchall()
        described = connection.execute(
            "DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [parameter]
        ).fetchall()
    except duckdb.Error as error:
        raise FileRefusedError(
            f"it is not a readable Parquet file ({str(error).splitlines()[0]}). Write or send it again."
        ) from error
    names = _top_level_names(nodes)
    types = tuple(row[1] for row in described)
    nested = [
        f"{name} ({kind})"
        for name, kind in zip(names, types, strict=True)
        if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "BLOB", "VARIANT", "GEOMETRY"))
    ]
    if nested:
        raise FileRefusedError(
            f"nested or binary columns: {', '.join(nested)}. A column holds one value a row: flatten it into plain "
            "columns, or write it as text (JSON)."
        )
    aliases = ", ".join(f"c{index}" for index in range(len(names)))
    return FileShape(
        columns=names,
        types=types,
        relation=(
            "(SELECT *, file_row_from_0 + 1 AS file_row FROM read_parquet(?, hive_partitioning = false, "
            f"file_row_number = true) AS t({aliases}, file_row_from_0))"
        ),
        parameters=(parameter,),
    )


def _top_level_names(nodes: Sequence[tuple[str, int | None]]) -> tuple[str, ...]:
    """Names of the root's children, from Parquet's depth-first list of (name, number of children)."""

    def skip(index: int) -> int:
        """Index after the subtree that starts at ``index``."""
        following = index + 1
        for _ in range(nodes[index][1] or 0):
            following = skip(following)
        return following

    names = []
    index = 1
    while index < len(nodes):
        names.append(nodes[index][0])
        index = skip(index)
    return tuple(names)


def _refuse_bad_names(columns: Sequence[str]) -> None:
    nameless = [str(index + 1) for index, name in enumerate(columns) if not name.strip()]
    pandas_index = [name for name in columns if _PANDAS_INDEX.fullmatch(name)]
    if not columns or len(nameless) == len(columns):
        raise FileRefusedError("line 1: there is no header. The first line must name the columns.")
    if nameless or pandas_index:
        what = f"column {', '.join(nameless)} has no name" if nameless else f"column {pandas_index[0]}"
        raise FileRefusedError(
            f"{what}: probably a pandas index. Write the file without it (index=False), or name the column."
        )
    repeated = sorted({name for name in columns if list(columns).count(name) > 1})
    if repeated:
        raise FileRefusedError(
            f"column names occur twice: {', '.join(repeated)}. Which one counts cannot be known; remove or rename one."
        )


def _missing_columns_text(missing: Sequence[str], found: Sequence[str], table: ContractTable) -> str:
    text = (
        f"missing column {', '.join(missing)}; {table.name} needs {', '.join(table.required_columns)}"
        + (f" and may have {', '.join(table.optional_columns)}" if table.optional_columns else "")
        + f"; found {', '.join(found)}."
    )
    alike = {name.strip().casefold(): name for name in found}
    renames = [f"'{alike[name]}' to '{name}'" for name in missing if name in alike]
    if renames:
        return f"{text} Rename {', '.join(renames)}."
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(found) == 1 and set(missing) & set(found[0].split(separator)):
            return f"{text} Values are separated by {word}; write the file with commas."
    return f"{text} Add the column or correct its name."
