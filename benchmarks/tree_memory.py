"""Peak memory of a process and all it started: proportional set sizes, which count a shared page once (Linux)."""

from __future__ import annotations

import threading
import time
from pathlib import Path


class TreeMemory:
    """Samples while it is entered. peak_gib, peak_at (time.time()) and the processes of then, largest first."""

    def __init__(self, root: int, every_seconds: float = 0.5) -> None:
        self.root, self.every = root, every_seconds
        self.peak_gib, self.peak_at = 0.0, 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> TreeMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self.every):
            total = sum(map(pss_gib, tree_of(self.root)))
            if total > self.peak_gib:
                self.peak_gib, self.peak_at = total, time.time()


def tree_of(root: int) -> list[int]:
    """The process and its descendants that live now."""
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it ended meanwhile
    found, frontier = [root], {root}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier}
        found += frontier
    return found


def pss_gib(pid: int) -> float:
    """Proportional set size; 0 for a process that ended or is not ours."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 2**20
