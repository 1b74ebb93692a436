"""What a measurement must say about where it ran."""

from __future__ import annotations

import os
import platform
import resource
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def provenance() -> dict[str, Any]:
    """Date, commit, whether the tree differs from it but for the studies' pages, machine size, load and versions."""
    import duckdb
    import numba
    import numpy
    import pymc

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": git("rev-parse", "HEAD"),
        "tree_is_clean": git("status", "--porcelain", "--", ".", ":!docs/studies") == "",
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {m.__name__: m.__version__ for m in (duckdb, numba, numpy, pymc)},
    }


def peak_memory_gib() -> float:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def make_command(target: str) -> str:
    """What was typed to get here; folders of this machine stand as FOLDER."""
    typed = ["FOLDER" if Path(one).is_absolute() else one for one in sys.argv[1:]]
    return " ".join([f"make {target}", *([f'STUDY="{shlex.join(typed)}"'] if typed else [])])
