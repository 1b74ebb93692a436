"""Who was erased must not land again: salted hashes of erased consumers, applied to every file that lands later.

A tombstone is the SHA-256 of the folder's random salt and of the id as it lands (the pseudonym, under an id key). It
tells an erased consumer from all others, which is its purpose: whoever holds the file can test a guessed id.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from assets.landing.pseudonyms import ID_COLUMN

if TYPE_CHECKING:
    import duckdb

TOMBSTONES_FILE = "tombstones.json"
#: What the consumer is called in the landed tables of a source.
ID_COLUMNS = {"complete_journey": "household_id"}


def id_column(source_name: str) -> str:
    """Column of a source's landed tables that names the consumer."""
    return ID_COLUMNS.get(source_name, ID_COLUMN)


def add_tombstone(folder: Path, landed_id: str) -> None:
    """Keep this consumer from landing into the folder ever again; adding it twice changes nothing."""
    content = _read(folder) or {"salt": secrets.token_hex(16), "digests": []}
    digest = hashlib.sha256((content["salt"] + landed_id).encode()).hexdigest()
    content["digests"] = sorted({*content["digests"], digest})
    path = folder / TOMBSTONES_FILE
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as handle:
        json.dump(content, handle, indent=1)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)


def load_tombstones(connection: duckdb.DuckDBPyConnection, folder: Path) -> bool:
    """Give a connection the folder's tombstones, as table `tombstones`; False if there are none."""
    content = _read(folder)
    if content is None:
        return False
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE tombstones AS SELECT unnest(?::VARCHAR[]) AS digest",
        [content["digests"]],
    )
    connection.execute("SET VARIABLE tombstone_salt = ?", [content["salt"]])
    return True


def without_erased(query: str, id_name: str) -> str:
    """The rows of a query whose consumer has no tombstone; rows without a consumer stay."""
    digest = f"sha256(getvariable('tombstone_salt') || CAST(landing.{id_name} AS VARCHAR))"
    return f"SELECT landing.* FROM ({query}) AS landing ANTI JOIN tombstones ON tombstones.digest = {digest}"


def _read(folder: Path) -> dict | None:
    path = folder / TOMBSTONES_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
