"""The command ``erase``: what was removed where, what the second look found, and a record without the id."""

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING

from orchestration.resources.artefacts import write_json
from orchestration.resources.settings import Settings

if TYPE_CHECKING:
    from assets.privacy.erasure import Erasure


def erase_and_tell(settings: Settings, consumer_id: str) -> int:
    """Erase, print both tables, keep them as ``<home>/erasures/<time>.json``; 0 if the erasure is proven."""
    from rich.console import Console
    from rich.table import Table

    from assets.privacy.erasure import erase

    result = erase(settings, consumer_id)
    console = Console(highlight=False)
    removed = Table(title="Removed", title_justify="left")
    for title in ("place", "files", "rows", "what"):
        removed.add_column(title, justify="right" if title in ("files", "rows") else "left")
    for item in result.removals:
        rows = "" if item.rows_count is None else f"{item.rows_count:,}"
        removed.add_row(item.place, f"{item.files_count:,}", rows, item.what)
    console.print(removed if result.removals else "Nothing of this consumer was there.")
    scanned = Table(title="Looked through again", title_justify="left")
    for title in ("place", "outcome", "found"):
        scanned.add_column(title, overflow="fold")
    for found in result.scan:
        scanned.add_row(found.place, found.outcome.replace("_", " "), found.text)
    console.print(scanned)
    for line in result.outside:
        console.print(f"Outside the home, not touched: {line}", markup=False, soft_wrap=True)
    path = settings.home / "erasures" / f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%fZ}.json"
    write_json(path, _record(result))
    verdict = "Proven" if result.is_proven else "NOT proven: see what failed or was not evaluated above"
    console.print(f"{verdict}. Record (without the id): {path}", soft_wrap=True)
    console.print(
        "Published sums still hold the consumer until the next run, which builds everything without it."
    )
    return 0 if result.is_proven else 1


def _record(result: "Erasure") -> dict[str, object]:
    """What may be kept: counts and outcomes, no id and no name of a file outside the home."""
    return {
        "is_proven": result.is_proven,
        "removals": [asdict(item) for item in result.removals],
        "scan": [asdict(item) for item in result.scan],
        "files_outside_count": len(result.outside),
    }
