"""Consumer ids under a key: what lands instead of the id, and the mark that keeps one key to one source folder.

The pseudonym is the first 32 hex digits of HMAC-SHA256(key, id), computed by DuckDB from SHA-256 (RFC 2104), so that
millions of rows need no Python. The key reaches DuckDB as variables of the connection, never as text of a query: a
query may stand in an error message.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

    from orchestration.resources.settings import Settings

ID_COLUMN = "consumer_id"
MARK_FILE = "id_key.json"
_DIGITS = 32
_BLOCK_BYTES = 64
_MARK_TEXT = "mediamix: the mark of an id key"


def id_key(settings: Settings) -> bytes | None:
    """The key of this home as bytes; None where ids stay as they are."""
    return None if settings.id_key is None else settings.id_key.get_secret_value().encode()


def pseudonym(key: bytes, consumer_id: str) -> str:
    """What lands in place of an id."""
    return hmac.new(key, consumer_id.encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def set_key(connection: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Give a connection the two pads of HMAC; `pseudonym_sql` reads them."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    for name, pad in (("id_key_inner", 0x36), ("id_key_outer", 0x5C)):
        connection.execute(f"SET VARIABLE {name} = ?::BLOB", [bytes(byte ^ pad for byte in block)])


def pseudonym_sql(text: str) -> str:
    """SQL of the pseudonym of a text expression; NULL and '' (a key that is missing) stay as they are."""
    inner = f"unhex(sha256(getvariable('id_key_inner')::BLOB || encode({text})))"
    outer = f"sha256(getvariable('id_key_outer')::BLOB || {inner})"
    return f"CASE WHEN {text} = '' THEN '' ELSE left({outer}, {_DIGITS}) END"


def key_mark(key: bytes | None) -> str:
    """What may be written down about a key: equal keys have equal marks, and no mark gives the key away."""
    return "" if key is None else pseudonym(key, _MARK_TEXT)


def write_mark(folder: Path, key: bytes | None) -> None:
    """Remember under which key the loads of a landing folder came."""
    path = folder / MARK_FILE
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps({"key_mark": key_mark(key)}) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def other_key(folder: Path, key: bytes | None) -> str | None:
    """Why these loads do not fit the key at hand, or None. Call it where there are loads."""
    path = folder / MARK_FILE
    earlier = json.loads(path.read_text(encoding="utf-8"))["key_mark"] if path.exists() else ""
    if earlier == key_mark(key):
        return None
    what = "with another id_key" if earlier and key else "with an id_key" if earlier else "without an id_key"
    now = "none is set" if key is None else "another one is set" if earlier else "one is set"
    return (
        f"earlier files of this home were landed {what}, and now {now} (MEDIAMIX_ID_KEY): every consumer would become "
        "two. Set what was set then, or land everything anew into another home (HOME_DIR=...)."
    )
