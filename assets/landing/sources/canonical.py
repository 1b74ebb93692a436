"""Files that are already in the contract's shape: a folder of the user's, and the home's inbox.

A table is ``<table>.csv|parquet``, further files ``<table>__anything.csv|parquet``, or a folder ``<table>/`` of such
files under any name. Everything else is listed as ignored, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from assets.landing.contract import CONTRACT
from assets.landing.reader import SourceFile

SUFFIXES = (".csv", ".parquet")
_SILENT_NAMES = frozenset({"mediamix.toml", "causal_graph.yaml"})


@dataclass(frozen=True, slots=True)
class IgnoredFile:
    """A file or folder that is no table of the contract by its name."""

    file_name: str
    reason: str


def find_files(folder: Path, prefix: str = "") -> tuple[list[SourceFile], list[IgnoredFile]]:
    """Files of known tables in landing order (contract order, then plain file, ``__`` parts, folder, each by name).

    ``prefix`` is put before the file names that reports show.
    """
    found: list[tuple[tuple[int, int, str], SourceFile]] = []
    ignored: list[IgnoredFile] = []
    order = {name: index for index, name in enumerate(CONTRACT)}
    for path in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if path.name in _SILENT_NAMES:
            continue
        if path.is_dir():
            if path.name not in CONTRACT:
                ignored.append(IgnoredFile(_shown(f"{prefix}{path.name}/"), _name_reason(path.name)))
                continue
            for part in sorted(path.iterdir(), key=lambda entry: entry.name):
                name = f"{prefix}{path.name}/{part.name}"
                reason = _file_reason(part)
                if reason is None:
                    source_file = SourceFile(path.name, part, _shown(name))
                    found.append(((order[path.name], 2, part.name), source_file))
                else:
                    ignored.append(IgnoredFile(_shown(name), reason))
            continue
        table, separator, _ = path.stem.partition("__")
        reason = _file_reason(path) or (None if table in CONTRACT else _name_reason(table))
        if reason is None:
            source_file = SourceFile(table, path, _shown(prefix + path.name))
            found.append(((order[table], 1 if separator else 0, path.name), source_file))
        else:
            ignored.append(IgnoredFile(_shown(prefix + path.name), reason))
    return [source_file for _, source_file in sorted(found, key=lambda pair: pair[0])], ignored


def expected_names() -> str:
    """One line that says which names a folder may hold."""
    return (
        f"<table>.csv or .parquet, <table>__anything.csv or .parquet, or a folder <table>/, where <table> is one of "
        f"{', '.join(CONTRACT)}"
    )


def _file_reason(path: Path) -> str | None:
    """Why a file is not looked into, judged by its kind and suffix; None where it is."""
    if not path.is_file():
        return "not a file"
    if path.suffix.lower() not in SUFFIXES:
        return "neither .csv nor .parquet"
    return None


def _name_reason(table: str) -> str:
    alike = [name for name in CONTRACT if name == table.strip().lower()]
    return f"'{_shown(table)}' is no table of the contract" + (f"; did you mean {alike[0]}?" if alike else "")


def _shown(name: str) -> str:
    """Name that can be stored and printed; bytes of a file name that are not UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode()
