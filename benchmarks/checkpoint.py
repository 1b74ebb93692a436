"""Independent jobs in processes whose results survive an interruption: one JSON line each, in a folder git ignores."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT

FOLDER = ROOT / ".mediamix-studies"


SOURCES = ("benchmarks", "models")
#: Files and folders that keep, name or draw results and measure nothing, beside all files that end in _page.
NOT_MEASURING = ("benchmarks/checkpoint.py", "benchmarks/machine.py", "models/figures")


def fingerprint(job: Callable[..., Any], *settings: Any, root: Path = ROOT) -> str:
    """Twelve hex digits of the settings' text and of the source that `job` depends on: other code, other file.

    job: what `run_jobs` will call. Its file counts, and every module of benchmarks/ and models/ that it imports,
    directly or through others; what other files of the study decide reaches it by its arguments, hence belongs in the
    settings. Comments, docstrings and layout do not count, nor does what only keeps or shows results (`NOT_MEASURING`,
    ``*_page.py``).
    """
    digest = hashlib.sha256(repr(settings).encode())
    root = root.resolve()
    for path in source_files(Path(inspect.getfile(job)), root):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        digest.update(name.encode() + ast.dump(_without_docstrings(_parsed(path))).encode())
    return digest.hexdigest()[:12]


def source_files(start: Path, root: Path = ROOT) -> list[Path]:
    """`start` and the files of `SOURCES` under `root` that it imports, also inside functions, and theirs; sorted.

    Found by reading imports, not by running them; a module imported under a computed name is not seen.
    """
    root = root.resolve()
    found, waiting = set(), [start.resolve()]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for name in _imported_names(_parsed(path)):
            waiting += [file for file in _files_of(name, root) if _measures(file, root)]
    return sorted(found)


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imported_names(tree: ast.Module) -> Iterator[str]:
    """Dotted names; `from a import b` gives a.b, which may be a module or something in a."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files_of(name: str, root: Path) -> list[Path]:
    """Files that importing `name` runs: the module and the packages above it; none for what lies elsewhere."""
    parts = name.split(".")
    if parts[0] not in SOURCES:
        return []
    stems = [root.joinpath(*parts[:end]) for end in range(1, len(parts) + 1)]
    paths = [path for stem in stems for path in (stem / "__init__.py", stem.with_suffix(".py"))]
    return [path for path in paths if path.is_file()]


def _measures(path: Path, root: Path) -> bool:
    name = path.relative_to(root).as_posix()
    return not (name.startswith(NOT_MEASURING) or path.stem.endswith("_page"))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return tree


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
