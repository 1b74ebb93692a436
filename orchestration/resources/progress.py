"""Progress of long steps: a small file per step that the command line reads while the step runs."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """How far a step is: ``done`` of ``total`` units since ``started_at`` (seconds since the epoch)."""

    step: str
    done: float
    total: float
    text: str
    started_at: float
    updated_at: float

    def describe(self) -> str:
        """``hbmmm 45 %, about 20 s left: 3600 of 8000 draws``."""
        share = self.done / self.total if self.total else 0.0
        elapsed = self.updated_at - self.started_at
        left = f", about {_seconds(elapsed * (1 - share) / share)} left" if 0.02 < share < 1 else ""
        return f"{100 * share:.0f} %{left}: {self.text}"


def progress_dir(home: Path) -> Path:
    """Folder of the progress files of a home."""
    return home / "dagster" / "progress"


def progress_writer(home: Path, step: str, unit: str, every_seconds: float = 1.0) -> Callable[..., None]:
    """A callable ``(done, total, text="")`` that records progress, at most once in ``every_seconds``."""
    path = progress_dir(home) / f"{step}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    last = 0.0

    def write(done: float, total: float, text: str = "") -> None:
        nonlocal last
        now = time.time()
        if now - last < every_seconds and done < total:
            return
        last = now
        record = Progress(step, done, total, text or f"{done:.0f} of {total:.0f} {unit}", started, now)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(vars(record)), encoding="utf-8")
        temporary.replace(path)

    return write


def read_progress(home: Path, since: float) -> list[Progress]:
    """Records written after ``since``; half-removed or foreign files are passed over."""
    records = []
    for path in sorted(progress_dir(home).glob("[!.]*.json")):
        try:
            record = Progress(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
        if record.updated_at > since:
            records.append(record)
    return records


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
