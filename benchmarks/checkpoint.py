"""Independent jobs in processes whose results survive an interruption: one JSON line each, in a folder git ignores."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT

FOLDER = ROOT / ".mediamix-studies"


def fingerprint(*settings: Any) -> str:
    """Twelve hex digits of the settings' text and of every source file of models/: other code, other file."""
    digest = hashlib.sha256(repr(settings).encode())
    for path in sorted((ROOT / "models").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def finished_jobs(path: Path) -> dict[str, Any]:
    """Results by key; a line cut short by an interruption is left out."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            one = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[one["key"]] = one["result"]
    return found


def run_jobs(
    path: Path,
    jobs: dict[str, tuple],
    function: Callable[..., Any],
    processes: int,
    tell: Callable[[str], None] = lambda text: print(text, flush=True),
) -> dict[str, Any]:
    """function(*arguments) of every job that `path` does not hold yet, appended as it ends; all results by key.

    jobs: key -> arguments. function: importable by name, returns what JSON can hold. One thread a process.
    """
    from models.evaluation.recovery import one_thread_each

    found = finished_jobs(path)
    waiting = {key: arguments for key, arguments in jobs.items() if key not in found}
    tell(
        f"{len(jobs) - len(waiting)} of {len(jobs)} done before, kept in {path.relative_to(path.parents[1])}"
    )
    if waiting:
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        with path.open("a", encoding="utf-8") as out, one_thread_each():
            out.write("\n")  # ends a line that was cut short
            for key, result in _results(waiting, function, processes):
                found[key] = result
                out.write(json.dumps({"key": key, "result": result}) + "\n")
                out.flush()
                done = sum(k in found for k in jobs)
                tell(f"[{time.perf_counter() - begun:6.0f} s] {done} of {len(jobs)}: {key}")
    return {key: found[key] for key in jobs}


def _results(waiting: dict[str, tuple], function: Callable[..., Any], processes: int):
    if processes == 1:
        for key, arguments in waiting.items():
            yield key, function(*arguments)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(function, *arguments): key for key, arguments in waiting.items()}
        for future in as_completed(running):
            yield running[future], future.result()


def job_key(parts: Sequence[Any]) -> str:
    """A readable key."""
    return " ".join(str(part) for part in parts)
