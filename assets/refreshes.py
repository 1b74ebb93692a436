"""Refreshes of earlier as-of dates that the home still holds: their fits, and the marts as they saw them."""

import json
from dataclasses import replace
from datetime import date

from assets.status import EVALUATED, FIT_MART_NAMES, Refresh, read_panel_status

_POINTERS = "fits/hbmmm"


def earlier_refresh(refresh: Refresh) -> Refresh | None:
    """The last refresh of an earlier as-of date whose HBMMM was fitted; None where there is none."""
    dates = []
    for path in refresh.artefacts_dir.glob(f"{_POINTERS}/as_of_date=*/fit.json"):
        day = date.fromisoformat(path.parent.name.partition("=")[2])
        if day < refresh.as_of_date and json.loads(path.read_text(encoding="utf-8"))["status"] == EVALUATED:
            dates.append(day)
    return replace(refresh, as_of_date=max(dates)) if dates else None


def why_not_as_seen(earlier: Refresh) -> str | None:
    """Why the marts of an earlier refresh are no longer those it saw; None where they are."""
    if not all(earlier.mart_path(name).exists() for name in FIT_MART_NAMES):
        return f"the marts of {earlier.as_of_date} are gone"
    if earlier.content_hash() != read_panel_status(earlier).content_hash:
        return f"the marts of {earlier.as_of_date} were built again since"
    return None
