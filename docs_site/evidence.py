"""Every study in docs/studies as rows of one page: question, checks, date, commit, command, machine.

Standard library only: the documentation site builds from it without the packages that the studies need.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STUDIES = Path(__file__).resolve().parents[1] / "docs" / "studies"
#: Keys under which studies keep the outcome of a bound that was set beforehand: true, false, or null (not evaluated).
VERDICT_KEYS = ("passed", "passes")
HEADER = """| Study | Checks in it | Measured | Command |
|---|---|---|---|
"""


class StudyError(ValueError):
    """A file in docs/studies does not say what the evidence page needs."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One measurement: its command, and where and from what it was made."""

    command: str
    date: str
    commit: str
    tree_is_clean: bool
    cores: int
    memory_gib: float

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{40}", self.commit):
            raise StudyError(
                f"commit {self.commit!r} is not a whole commit id; keep benchmarks.machine.provenance()."
            )


@dataclass(frozen=True, slots=True)
class Study:
    """One JSON file of docs/studies and the page beside it.

    question : the page's heading; verdicts : outcomes of its bounds, None where not evaluated
    origins : one, or one a section where sections are measured apart
    """

    name: str
    question: str
    verdicts: tuple[bool | None, ...]
    origins: tuple[Origin, ...]


def read_studies(folder: Path = STUDIES) -> tuple[Study, ...]:
    """All studies, by name. Raises StudyError for one without page, heading, command or provenance."""
    return tuple(_study(path) for path in sorted(folder.glob("*.json")))


def evidence_table(studies: tuple[Study, ...], prefix: str = "studies/") -> str:
    """Markdown table, a row for each command, commit and date of each study."""
    return HEADER + "".join(_row(study, origin, prefix) for study in studies for origin in study.origins)


def _study(path: Path) -> Study:
    document = json.loads(path.read_text(encoding="utf-8"))
    page = path.with_suffix(".md")
    if not page.exists():
        raise StudyError(f"{path.name} has no page {page.name} beside it; the study writes both.")
    heading = re.match(r"# (.+)\n", page.read_text(encoding="utf-8"))
    if heading is None:
        raise StudyError(f"{page.name} does not begin with a heading; the study's page writer owes one.")
    origins = tuple(dict.fromkeys(_origins(document, None)))
    if not origins:
        raise StudyError(
            f"{path.name} has no provenance; write provenance() of benchmarks/machine.py into it."
        )
    return Study(path.stem, heading[1], tuple(_verdicts(document)), origins)


def _origins(value: Any, command: str | None) -> Iterator[Origin]:
    """Of the document and of sections in it; a section without a command has that of what it stands in."""
    if not isinstance(value, dict):
        return
    command = value.get("command", command)
    if isinstance(found := value.get("provenance"), dict):
        if command is None:
            raise StudyError("a provenance without a command; write the command that was typed beside it.")
        keys = ("date", "commit", "tree_is_clean", "cores", "memory_gib")
        yield Origin(command, *(found[key] for key in keys))
    for key, one in value.items():
        if key != "provenance":
            yield from _origins(one, command)


def _verdicts(value: Any) -> Iterator[bool | None]:
    if isinstance(value, dict):
        for key, one in value.items():
            if key in VERDICT_KEYS and (one is None or isinstance(one, bool)):
                yield one
            else:
                yield from _verdicts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _verdicts(one)


def _row(study: Study, origin: Origin, prefix: str) -> str:
    changed = "" if origin.tree_is_clean else " with uncommitted changes"
    cells = (
        f"[{_cell(study.question)}]({prefix}{study.name}.md) ([{study.name}.json]({prefix}{study.name}.json))",
        _judged(study.verdicts),
        f"{origin.date}, commit `{origin.commit[:10]}`{changed}, {origin.cores} cores, {origin.memory_gib:g} GiB",
        f"`{_cell(origin.command)}`",
    )
    return f"| {' | '.join(cells)} |\n"


def _judged(verdicts: tuple[bool | None, ...]) -> str:
    if not verdicts:
        return "none in the file"
    counts = {
        "passed": verdicts.count(True),
        "**failed**": verdicts.count(False),
        "not evaluated": verdicts.count(None),
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
