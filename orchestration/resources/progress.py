"""Progress of long steps: a small file per step that the command line reads while the step runs."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """How far a step is: ``share`` in [0, 1] of the whole step, now at ``text``. Times in seconds since the epoch."""

    step: str
    text: str
    share: float
    started_at: float
    updated_at: float

    def describe(self) -> str:
        """``45 %, about 20 s left: data set 1 of 5: draws``."""
        share = min(max(self.share, 0.0), 1.0)
        elapsed = self.updated_at - self.started_at
        left = f", about {_seconds(elapsed * (1 - share) / share)} left" if 0.02 < share < 1 else ""
        return f"{100 * share:.0f} %{left}: {self.text}"


def progress_dir(home: Path) -> Path:
    """Folder of the progress files of a home."""
    return home / "dagster" / "progress"


def progress_writer(home: Path, step: str, every_seconds: float = 1.0) -> Callable[[str, float], None]:
    """A callable ``(text, share)`` that records progress, at most once in ``every_seconds`` for one text.

    ``share`` counts over the whole step, so that the time left can be told from it.
    """
    path = progress_dir(home) / f"{step}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    last = ("", 0.0)

    def write(text: str, share: float) -> None:
        nonlocal last
        now = time.time()
        if text == last[0] and now - last[1] < every_seconds and share < 1:
            return
        last = (text, now)
        record = Progress(step, text, float(share), begun, now)
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
