"""What a home says about its last run: seconds of its steps, what the gate decided, what was published."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAMILY = "hbmmm"


@dataclass(frozen=True)
class HomeRun:
    """The last run in Dagster's event log; times in seconds since 1970, steps by name: start and end."""

    is_success: bool
    status: str
    start: float
    end: float
    steps: dict[str, tuple[float, float]]


def last_run(home: Path, ended_at: float | None = None) -> HomeRun:
    """From the event log; a step without an end stops with the run.

    ended_at: when the run stopped, if that is known: then a run that left no end in the log (it was killed) is taken.

    Raises
    ------
    FileNotFoundError : the home has no run that has ended.
    """
    import dagster as dg

    if not (home / "dagster").is_dir():
        raise FileNotFoundError(
            f"{home} has no folder dagster, so no run to read; give a home that was run in."
        )
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        record = next(iter(instance.get_run_records(limit=1)), None)
        end = ended_at if record is None or record.end_time is None else float(record.end_time)
        if record is None or record.start_time is None or end is None:
            raise FileNotFoundError(
                f"the last run in {home} has not ended; wait for it, or give another home."
            )
        run = record.dagster_run
        found = instance.get_run_step_stats(run.run_id)
    steps = {s.step_key: (s.start_time, s.end_time or end) for s in found if s.start_time}
    return HomeRun(run.is_success, run.status.value, float(record.start_time), end, steps)


def decision_of(home: Path) -> dict[str, Any]:
    """What the gate decided about the HBMMM of the home's last as-of date, on what evidence, and what is published.

    Values that a home does not have are None: a fit that never ended has no sampler, a run that stopped before the gate
    no decision.
    """
    facts = _facts(home)
    return {
        **_gate(home),
        "sampler": _sampler(facts),
        "k_hat": facts.get("k_hat_max"),
        "r_hat_max": facts.get("r_hat_max"),
        "ess_least": facts.get("ess_min"),
        **_published(home),
    }


def outcome_text(is_success: bool, decision: dict[str, Any]) -> str:
    """One word or two: `published` only if the run ended well, the gate let the fit through and rows are there."""
    if not is_success:
        return "run failed"
    if decision["gate_decision"] is None:
        return "no decision of the gate"
    if decision["gate_decision"] == "no_champion" or not decision["published_rows_hbmmm"]:
        return "nothing published"
    return "published"


def _gate(home: Path) -> dict[str, Any]:
    import pandas as pd

    paths = sorted((home / "artefacts" / "champions" / f"family={FAMILY}").glob("as_of_date=*/part.parquet"))
    if not paths:
        return {"gate_decision": None, "gate_reason": "the run ended before the gate decided"}
    row = pd.read_parquet(paths[-1]).iloc[0]
    return {"gate_decision": str(row["decision"]), "gate_reason": str(row["decided_reason"])}


def _facts(home: Path) -> dict[str, Any]:
    paths = sorted((home / "artefacts" / "estimates").glob(f"as_of_date=*/{FAMILY}/status.json"))
    return json.loads(paths[-1].read_text(encoding="utf-8"))["facts"] if paths else {}


def _sampler(facts: dict[str, Any]) -> str | None:
    if not facts:
        return None
    return "importance sampling" if "k_hat_max" in facts else "NUTS"


def _published(home: Path) -> dict[str, Any]:
    """Rows of reporting.channel_effects, all and of the HBMMM; None where there is no such table."""
    import duckdb

    names = ("published_rows", "published_rows_hbmmm")
    path = home / "warehouse.duckdb"
    if not path.exists():
        return dict.fromkeys(names)
    with duckdb.connect(str(path), read_only=True) as connection:
        try:
            counts = connection.execute(
                "select count(*), count(*) filter (where method = ?) from reporting.channel_effects", [FAMILY]
            ).fetchone()
        except duckdb.CatalogException:
            return dict.fromkeys(names)
    return dict(zip(names, counts, strict=True))
