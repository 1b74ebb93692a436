"""Addresses of the databases that hold Dagster's runs and MLflow's tracking store: checked, compared, masked."""

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

#: SQLAlchemy 2.1 reads plain ``postgresql://`` as psycopg 3, whose errors have no ``pgcode``; dagster-postgres
#: looks for it to survive two processes that create the tables at once.
_DRIVER = "postgresql+psycopg2"
_PLAIN_SCHEMES = ("postgresql", "postgres")
_PASSWORD = re.compile(r"(://[^:/@\s]*):.*@")  # a password that was not encoded may hold anything
_PASSWORD_PARAMETER = re.compile(r"([?&](?:password|sslpassword)=)[^&\s]*", re.IGNORECASE)


def with_driver(uri: str) -> str:
    """The address with the driver that suits Dagster and MLflow alike; other kinds of store stay as they are."""
    scheme, separator, rest = uri.partition("://")
    return f"{_DRIVER}{separator}{rest}" if separator and scheme in _PLAIN_SCHEMES else uri


def checked_dagster_uri(uri: str) -> str:
    """The address of Dagster's store with its driver; raises ValueError, without the password, where it is none."""
    uri = with_driver(uri.strip())
    if not uri:
        return ""
    parts = urlsplit(uri)
    if parts.scheme != _DRIVER or not parts.path.strip("/"):
        raise ValueError(
            f"dagster_storage_uri is '{masked(uri)}', which names no PostgreSQL database; give "
            "postgresql://user:password@host:5432/database, or leave it empty for SQLite in the home."
        )
    return uri


def is_same_database(one: str, other: str) -> bool:
    """True if two addresses name one database, whoever logs in. Search paths and the like count as part of the name."""
    return _place(urlsplit(one)) == _place(urlsplit(other))


def masked(text: str) -> str:
    """The text with passwords of addresses in it replaced by four stars."""
    return _PASSWORD_PARAMETER.sub(r"\1****", _PASSWORD.sub(r"\1:****@", text))


def _place(parts: SplitResult) -> tuple[object, ...]:
    kept = sorted((k, v) for k, v in parse_qsl(parts.query) if k not in ("user", "password"))
    netloc = parts.netloc.rpartition("@")[2].casefold()
    if parts.scheme == _DRIVER and netloc and ":" not in netloc:
        netloc += ":5432"
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", "")), *kept
